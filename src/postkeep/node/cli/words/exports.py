"""Exports of a person's mail: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.export": (
        "Read a person's mail out into a sealed file, on a request that others approve and the owner sees.",
        "将某人的邮件导出为密封文件；请求须经他人批准，且所有者可见。",
    ),
    "help.export.create": (
        "Export mail. While approvals are missing it makes the request: give it again once that is approved.",
        "导出邮件。双人控制下未获批准时仅提出请求；获批后请再次执行同一命令。",
    ),
    "help.export.into": ("The file to write; it must not exist yet.", "要写入的文件；必须尚不存在。"),
    "help.export.reason": (
        "Why. Approvers and the owner of the mail read it.",
        "理由。审批人和邮件所有者会看到。",
    ),
    "help.export.mailbox": (
        "Only this mailbox: its identifier or role (inbox, sent …), from: postkeep destroy list ADDRESS",
        "仅此邮箱文件夹：其标识或角色（inbox、sent……），可用 postkeep destroy list 地址 查看",
    ),
    "help.export.since": (
        "Mail that arrived on this day or later (UTC), as 2026-03-01.",
        "此日期或之后到达的邮件（UTC），如 2026-03-01。",
    ),
    "help.export.until": ("Mail that arrived before this day (UTC).", "此日期之前到达的邮件（UTC）。"),
    "help.export.for": (
        "Seal it to this recipient's public key (a file from `postkeep export key`) instead of a passphrase.",
        "不用口令，而是密封给该接收者的公钥（由 `postkeep export key` 生成的文件）。",
    ),
    "help.export.passphrase_file": (
        "Read the passphrase from this file (mode 0600).",
        "从该文件读取口令（权限 0600）。",
    ),
    "help.export.passphrase_stdin": (
        "Read the passphrase from standard input.",
        "从标准输入读取口令。",
    ),
    "help.export.open": (
        "Check an export and take the messages out of it. Needs no node.",
        "验证导出文件并取出邮件。无需运行节点。",
    ),
    "help.export.directory": (
        "The directory to write; it must not exist yet.",
        "要写入的目录；必须尚不存在。",
    ),
    "help.export.with": (
        "The recipient's private key, where it was sealed to a public one.",
        "接收者的私钥（用于密封给公钥的导出文件）。",
    ),
    "help.export.key": (
        "Make a recipient's key pair: FILE.pub to give away, FILE to keep (sealed with a passphrase).",
        "生成接收者密钥对：FILE.pub 可交给他人，FILE 自行保管（用口令密封）。",
    ),
    "help.export.key_file": ("The private key's file.", "私钥文件。"),
    "ask.export_passphrase": ("Passphrase of the export: ", "导出文件的口令："),
    "export.done": (
        "Written: {messages} messages ({size}) in {path}. SHA-256 of the file: {digest}",
        "已写入 {messages} 封邮件（{size}）到 {path}。文件 SHA-256：{digest}",
    ),
    "export.unreadable": (
        "{count} messages could not be opened; the manifests in the export name them.",
        "有 {count} 封邮件无法打开；导出文件中的清单列出了它们。",
    ),
    "export.not_closed": (
        "The export is whole, but its request {request} could not be closed: {why}",
        "导出已完成，但其请求 {request} 未能关闭：{why}",
    ),
    "export.opened": (
        "Taken out: {messages} messages ({size}) of {address} in {path}. All agree with their manifests.",
        "已取出 {address} 的 {messages} 封邮件（{size}）到 {path}，均与清单相符。",
    ),
    "export.progress": ("{done} of {all} messages", "{done} / {all} 封邮件"),
    "export.key_made": (
        "Give {public} to who exports; keep {private}. Fingerprint of the key: {fingerprint}",
        "请将 {public} 交给导出者，自行保管 {private}。密钥指纹：{fingerprint}",
    ),
    "error.export_there": (
        "{path} is there already: name a new file.",
        "{path} 已存在：请指定一个新文件。",
    ),
    "error.export_nowhere": ("There is no directory {path}.", "没有目录 {path}。"),
    "error.export_unwritable": ("{path} can't be written: {why}.", "无法写入 {path}：{why}。"),
    "error.export_broken": (
        "The export was broken off and deleted; nothing is left of it. Give the command again. Cause: {why}",
        "导出已中断并删除，未留下任何内容。请再次执行同一命令。原因：{why}",
    ),
    "error.no_export_passphrase": (
        "No terminal to ask on: use --passphrase-file or --passphrase-stdin.",
        "没有终端可供输入：请使用 --passphrase-file 或 --passphrase-stdin。",
    ),
    "error.export_passphrase_short": (
        "A passphrase has at least {least} octets here: whoever has the file can guess without end.",
        "此处口令至少 {least} 字节：得到文件的人可以无限次猜测。",
    ),
    "error.export_private_key": (
        "This export was sealed to a public key: give the private one with --with.",
        "此导出文件密封给某个公钥：请用 --with 指定对应私钥。",
    ),
    "error.export_recipient": (
        "An export is sealed to a public key or with a passphrase, not both.",
        "导出文件只能用公钥或口令之一密封，不能同时使用。",
    ),
    "error.export_damaged": (
        "The file was altered, is cut short, or is not for this key. Nothing was taken out of it. ({why})",
        "文件被改动、被截断，或不属于此密钥。未取出任何内容。（{why}）",
    ),
    "code.wrong_passphrase": (
        "The passphrase is wrong, or the sealed file was changed.",
        "口令错误，或密封文件已被更改。",
    ),
    "code.not_an_export": ("This is not an export of Postkeep's.", "这不是 Postkeep 的导出文件。"),
    "code.conflict.directory": (
        "The directory is there already: name a new one.",
        "目录已存在：请指定一个新目录。",
    ),
    "code.conflict.export": (
        "The mailbox changed while a large message was read. Give the command again.",
        "读取大邮件时邮箱发生了变化。请再次执行该命令。",
    ),
    "code.invalid.range": ("The export ends before it begins.", "导出的结束时间早于开始时间。"),
    "code.invalid.reason": (
        "A reason has at most 300 printable characters.",
        "理由最多 300 个可打印字符。",
    ),
    "code.export_public_key": ("This file holds no public key for exports.", "该文件不含导出用公钥。"),
    "code.export_private_key": ("This file holds no private key for exports.", "该文件不含导出用私钥。"),
    "access.export.begin": (
        "began to read out your mail, messages: {count}",
        "开始导出您的邮件，共 {count} 封",
    ),
    "access.export.end": (
        "had read out your mail, messages: {count}",
        "已导出您的邮件，共 {count} 封",
    ),
    "access.export.read": ("messages read out: {count}", "导出了 {count} 封邮件"),
    "access.export.names": ("names of folders read out: {count}", "导出了 {count} 个文件夹名称"),
    "access.request.asked": ("asked for leave ({note})", "提出请求（{note}）"),
    "access.request.decided": ("voted on a request ({note})", "对请求表决（{note}）"),
    "access.request.granted": ("was given what the request asks for ({note})", "获得请求的授权（{note}）"),
    "access.request.closed": ("ended the request ({note})", "结束请求（{note}）"),
    "access.ticket.export": (
        "received a ticket to read your mail, good for some minutes",
        "获得一张数分钟内有效的读取您邮件的票据",
    ),
    "access.by.export": ("the operator's export", "运维人员的导出"),
    "access.why.request": ("request {request}", "请求 {request}"),
    "access.why.reason": ("request {request}: {reason}", "请求 {request}：{reason}"),
}
