"""Media that hold data: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.media": ("Media that hold data, and their sanitisation.", "存储介质及其清除。"),
    "help.media.add": ("Register a medium.", "登记介质。"),
    "help.media.withdraw": ("Take a medium out of use.", "停用介质。"),
    "help.media.sanitise": ("Enter how a medium was sanitised.", "登记介质的清除过程。"),
    "help.media.verify": (
        "Enter that somebody else has verified the sanitisation.",
        "登记他人对清除结果的核验。",
    ),
    "help.media.release": ("Let a medium go, where its data allow it.", "在数据允许的前提下放行介质。"),
    "help.media.list": ("List the media.", "列出介质。"),
    "help.media.show": ("Show a medium with its history, checked.", "显示介质及其经核对的历史。"),
    "help.media.record": ("Write a medium's signed record to a file.", "将介质的签名记录写入文件。"),
    "help.media.methods": (
        "Show which techniques are allowed for which medium.",
        "显示各类介质允许的清除技术。",
    ),
    "help.media.type": (
        "hdd, sed, ssd-sata, ssd-nvme, tape, optical, usb-flash, paper or phone.",
        "hdd、sed、ssd-sata、ssd-nvme、tape、optical、usb-flash、paper 或 phone。",
    ),
    "help.media.serial": ("Serial number; may be given more than once.", "序列号；可多次给出。"),
    "help.media.category": (
        "A data category that it held: content, metadata, account, secret, audit, operations.",
        "其中存放过的数据类别：content、metadata、account、secret、audit、operations。",
    ),
    "help.media.encrypted": (
        "Whether what was written was encrypted: always, partly or never.",
        "写入的数据是否加密：always（始终）、partly（部分）或 never（从未）。",
    ),
    "help.media.site": ("Data centre.", "数据中心。"),
    "help.media.rack": ("Rack.", "机柜。"),
    "help.media.host": ("Host.", "主机。"),
    "help.media.slot": ("Slot.", "槽位。"),
    "help.media.method": ("clear, purge or destroy.", "clear（清除）、purge（净化）或 destroy（销毁）。"),
    "help.media.technique": (
        "How, as `postkeep media methods` lists it.",
        "所用技术，见 `postkeep media methods`。",
    ),
    "help.media.tool": (
        "Program or machine with its version, and how it checked itself.",
        "所用程序或设备及其版本，以及自检方式。",
    ),
    "help.media.by": ("Who did it.", "执行人。"),
    "help.media.witness": (
        "Somebody who saw it; two are needed, and neither may be who did it.",
        "见证人；需要两名，且均不得是执行人。",
    ),
    "help.media.photo": (
        "A photograph; its SHA-256 is kept, not the picture.",
        "照片；只保存其 SHA-256，不保存图像。",
    ),
    "help.media.certificate": (
        "Certificate that the keys are destroyed (for a cryptographic erase).",
        "密钥已销毁的证书（用于加密擦除）。",
    ),
    "help.media.failed": ("It failed; the medium stays withdrawn.", "结果为失败；介质保持停用状态。"),
    "help.media.to": (
        "reuse (stays under your control) or leave.",
        "reuse（仍由您控制）或 leave（离开您的控制）。",
    ),
    "help.media.remark": ("A remark.", "备注。"),
    "help.media.out": ("The file to write.", "要写入的文件。"),
    "media.added": ("Registered the medium {tag}.", "已登记介质 {tag}。"),
    "media.now": ("{tag} is {state}.", "{tag} 现为：{state}。"),
    "media.recorded": ("Wrote the signed record of {tag} to {path}.", "已将 {tag} 的签名记录写入 {path}。"),
    "media.next.registered": ("Next: postkeep media withdraw {tag}", "下一步：postkeep media withdraw {tag}"),
    "media.next.withdrawn": (
        "Next: postkeep media sanitise {tag}; what is allowed: postkeep media methods",
        "下一步：postkeep media sanitise {tag}；允许的方法：postkeep media methods",
    ),
    "media.next.sanitised": (
        "Next, by somebody else: postkeep media verify {tag}",
        "下一步（由他人执行）：postkeep media verify {tag}",
    ),
    "media.next.verified": (
        "Next: postkeep media release {tag} --to reuse|leave",
        "下一步：postkeep media release {tag} --to reuse|leave",
    ),
    "media.line.medium": ("  medium     {value}", "  介质      {value}"),
    "media.line.serials": ("  serials    {value}", "  序列号    {value}"),
    "media.line.place": ("  place      {value}", "  位置      {value}"),
    "media.line.categories": ("  held       {value}", "  数据类别  {value}"),
    "media.line.encrypted": ("  encrypted  {value}", "  加密      {value}"),
    "media.photo": ("photo sha256 {value}", "照片 sha256 {value}"),
    "media.certificate": ("certificate {value}", "证书 {value}"),
    "media.result.passed": ("passed", "通过"),
    "media.result.failed": ("FAILED", "失败"),
    "media.fate.reuse": ("to be reused", "重新使用"),
    "media.fate.leave": ("to leave", "离开管控"),
    "media.witnesses": ("witnesses: {names}", "见证人：{names}"),
    "media.ledger": ("(ledger {index})", "（账本 {index}）"),
    "media.state.registered": ("registered", "已登记"),
    "media.state.withdrawn": ("withdrawn", "已停用"),
    "media.state.sanitised": ("sanitised", "已清除"),
    "media.state.verified": ("verified", "已核验"),
    "media.state.released": ("released", "已放行"),
    "media.state.destroyed": ("destroyed", "已销毁"),
    "media.act.register": ("registered", "登记"),
    "media.act.withdraw": ("withdrawn", "停用"),
    "media.act.sanitise": ("sanitised", "清除"),
    "media.act.verify": ("verified", "核验"),
    "media.act.release": ("released", "放行"),
    "col.tag": ("tag", "资产编号"),
    "col.medium": ("medium", "介质"),
    "col.serials": ("serials", "序列号"),
    "col.place": ("place", "位置"),
    "col.categories": ("held", "数据类别"),
    "col.encrypted": ("encrypted", "加密"),
    "col.method": ("method", "方法"),
    "col.techniques": ("techniques", "技术"),
    "error.unwritable": ("{path} can't be written.", "无法写入 {path}。"),
    "code.invalid.media_encrypted": (
        "Encrypted is one of: always, partly, never.",
        "--encrypted 为 always、partly 或 never。",
    ),
    "code.invalid.media_tag": (
        "A medium has a tag and 1 to 16 serial numbers.",
        "介质须有资产编号和 1 至 16 个序列号。",
    ),
    "code.invalid.media_reason": ("Say why the medium is withdrawn.", "请说明停用原因：--reason 文本。"),
    "code.invalid.media_witnesses": (
        "A sanitisation has two witnesses.",
        "清除须有两名不同的见证人，且均不得是执行人：--witness 姓名 --witness 姓名。",
    ),
    "code.invalid.media_result": ("A result is one of: passed, failed.", "结果为 passed 或 failed。"),
    "code.invalid.media_by": (
        "Say who did it and with what.",
        "请说明执行人和所用工具：--by 姓名 --tool 文本。",
    ),
    "code.invalid.media_hash": ("A hash has 64 hexadecimal digits.", "照片哈希须为 64 位十六进制数字。"),
    "code.invalid.media_text": (
        "A text has at most 200 printable characters.",
        "文本最多 200 个可打印字符。",
    ),
    "code.invalid.media_method": (
        "The methods are: clear, purge, destroy.",
        "方法为 clear、purge 或 destroy。",
    ),
    "code.invalid.media_type": ("There is no such kind of medium.", "没有该介质类型：postkeep media methods"),
    "code.invalid.media_fate": ("A medium's fate is one of: reuse, leave.", "--to 为 reuse 或 leave。"),
    "code.invalid.media_category": (
        "There is no such category.",
        "数据类别为：content、metadata、account、secret、audit、operations。",
    ),
    "code.conflict.media_tag": (
        "There is a medium with this tag already.",
        "该资产编号已存在：postkeep media list",
    ),
    "code.not_found.media": ("There is no medium with this tag.", "没有该资产编号：postkeep media list"),
    "code.not_found.certificate": (
        "There is no certificate of destruction with this identifier.",
        "没有该销毁证明：postkeep order list",
    ),
    "code.invalid.certificate": (
        "A certificate is named by 32 hexadecimal digits.",
        "证明编号为 32 位十六进制数字。",
    ),
    "code.refused.media_method": (
        "This technique is not allowed for the medium: see `postkeep media methods`.",
        "该介质不允许使用此技术：请见 `postkeep media methods`。",
    ),
    "code.refused.media_cryptographic_erase": (
        (
            "A cryptographic erase counts only where everything was always encrypted and the "
            "destruction of the keys is certified."
        ),
        "仅当数据始终加密且密钥销毁已有证书时，加密擦除才有效：请给出 --certificate。",
    ),
    "code.refused.media_verifier": (
        "Whoever sanitised a medium does not verify it.",
        "清除的执行人不能核验自己的工作。",
    ),
    "code.refused.media_weak": (
        "The method was too weak for the data that the medium held.",
        "所用方法不足以处理该介质存放过的数据；请采用更强的方法。",
    ),
    "code.conflict.media_state": (
        "The medium is in another state.",
        "介质当前状态不允许此操作。",
    ),
}
