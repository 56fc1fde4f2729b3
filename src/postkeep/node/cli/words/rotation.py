"""Rotation of keys, ceilings: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.rotate": (
        "Put a new key in the place of one in use; the old one is destroyed at the end.",
        "以新密钥替换在用的密钥；完成后旧密钥被销毁。",
    ),
    "help.rotate.wait": ("Wait for the end.", "等待完成。"),
    "help.rotate.root": ("The root key, in the way it is sealed now.", "根密钥（封存方式不变）。"),
    "help.rotate.tenant": ("A company's key, by one of its domains.", "公司的密钥，以其域名指定。"),
    "help.rotate.category": ("The key of a company's data category.", "公司某一数据类别的密钥。"),
    "help.rotate.which": (
        "secret (people's private keys) or account (the directory).",
        "secret（用户私钥）或 account（目录）。",
    ),
    "help.rotate.principal": (
        "A person's key pair: mail is sealed to the new one at once, older mail follows.",
        "用户的密钥对：新邮件立即使用新密钥，旧邮件随后转换。",
    ),
    "help.rotation": ("Rotations under way and ended.", "进行中和已结束的轮换。"),
    "help.rotation.list": ("List rotations, the latest first.", "列出轮换，最近的在前。"),
    "help.rotation.show": ("Show how far a rotation is.", "显示轮换的进度。"),
    "rotation.begun": (
        "Generation {generation} is in use; the rest follows. See: postkeep key rotation show {id}",
        "第 {generation} 代密钥已启用，其余工作在后台继续。查看：postkeep key rotation show {id}",
    ),
    "rotation.done": (
        "Generation {generation} is in use, {count} items are under it, and the old key is destroyed.",
        "第 {generation} 代密钥已启用，已转换 {count} 项，旧密钥已销毁。",
    ),
    "rotation.void": (
        "The key was destroyed while it was rotated; nothing is left of either.",
        "密钥在轮换期间被销毁；新旧密钥均已不存在。",
    ),
    "rotation.kind.root": ("root", "根密钥"),
    "rotation.kind.tenant": ("company", "公司"),
    "rotation.kind.category": ("category", "类别"),
    "rotation.kind.principal": ("person", "用户"),
    "rotation.phase.rewrapping": ("rewrapping", "重新封装"),
    "rotation.phase.sealing": ("sealing epochs", "转换邮件密钥"),
    "rotation.phase.erasing": ("destroying the old key", "销毁旧密钥"),
    "rotation.phase.done": ("done", "完成"),
    "rotation.phase.void": ("void", "作废"),
    "help.ceilings": (
        "Who is stopped because too many keys were asked for.",
        "因请求密钥过多而被暂停的对象。",
    ),
    "help.ceilings.list": ("List who is stopped, and until when.", "列出被暂停的对象及其期限。"),
    "help.ceilings.lift": (
        "Lift the stop of a person (address) or of a module instance.",
        "解除用户（地址）或模块实例的暂停。",
    ),
    "ceiling.principal": ("person", "用户"),
    "ceiling.module": ("module", "模块"),
    "ceiling.lifted": ("The stop of {name} is lifted.", "已解除对 {name} 的暂停。"),
    "code.refused.ceiling": (
        "Too many keys were asked for. Wait an hour, or lift the stop: postkeep key ceilings lift",
        "请求的密钥过多。请等待一小时，或解除暂停：postkeep key ceilings lift",
    ),
    "col.stopped": ("stopped", "暂停对象"),
    "col.subject": ("subject", "标识"),
    "col.stopped_since": ("since", "起始"),
    "col.key": ("key", "密钥"),
    "col.of": ("of", "所属"),
    "col.generation": ("generation", "代"),
    "col.phase": ("phase", "阶段"),
    "col.progress": ("progress", "进度"),
    "col.started": ("started", "开始"),
    "col.ended": ("ended", "结束"),
}
