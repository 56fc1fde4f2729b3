"""What the command line says, in English and in Chinese: this table, and one for each larger subject."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

import os
from typing import Final

from postkeep.node.cli.words import WORDS

LANGUAGES: Final = ("en", "zh-CN")

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    **WORDS,
    # --- help ---
    "help.app": (
        "Postkeep: a mail system whose security anyone can check.",
        "Postkeep：安全性可由任何人验证的邮件系统。",
    ),
    "help.data": ("The data directory (before or after the command).", "数据目录（可写在命令之前或之后）。"),
    "help.json": ("Answer with JSON.", "以 JSON 输出。"),
    "help.lang": ("Language of all texts: en or zh-CN.", "界面语言：en 或 zh-CN。"),
    "help.init": (
        "Make keys, database and directories; harmless to repeat.",
        "创建密钥、数据库和目录；可重复执行。",
    ),
    "help.serve": ("Run the node in the foreground.", "在前台运行节点。"),
    "help.config": (
        "Configuration file (default: postkeep.toml in the data directory).",
        "配置文件（默认：数据目录中的 postkeep.toml）。",
    ),
    "help.base_port": ("First port; the others follow it.", "起始端口；其余端口依次递增。"),
    "help.passphrase_fd": (
        "Read the root key's passphrase from this descriptor.",
        "从该文件描述符读取根密钥口令。",
    ),
    "help.guide": ("Print addresses and next steps for a newcomer.", "为新用户显示地址和后续步骤。"),
    "help.version": ("Show the versions.", "显示版本。"),
    "help.doctor": (
        "Check this machine and this node, and say what to do.",
        "检查本机和本节点，并给出处理建议。",
    ),
    "help.tenant": ("Companies.", "公司（租户）。"),
    "help.tenant.create": ("Create a company with its first domain.", "创建公司及其第一个域名。"),
    "help.tenant.list": ("List the companies.", "列出公司。"),
    "help.tenant.show": ("Show a company.", "显示公司。"),
    "help.tenant.delete": (
        "Delete a company, its mail and its keys, for good.",
        "永久删除公司及其邮件和密钥。",
    ),
    "help.user": ("People.", "用户。"),
    "help.user.create": ("Create a person.", "创建用户。"),
    "help.user.list": ("List people.", "列出用户。"),
    "help.user.show": ("Show who has an address.", "显示地址的所有者。"),
    "help.user.disable": ("Keep a person out; mail is not accepted either.", "停用用户；其邮件也不再接收。"),
    "help.user.enable": ("Let a person in again.", "重新启用用户。"),
    "help.user.delete": ("Delete a person, the mail and the keys, for good.", "永久删除用户及其邮件和密钥。"),
    "help.user.password": ("Set a person's password; live sessions end.", "设置用户密码；现有会话将结束。"),
    "help.user.quota": (
        "Limit a person's mail, as 10G; 'none' lifts the limit.",
        "限制用户邮箱容量，如 10G；none 表示不限。",
    ),
    "help.user.grant": ("Let a person send as another address too.", "允许用户以另一个地址发信。"),
    "help.alias": ("Further addresses.", "别名地址。"),
    "help.alias.create": ("Add an address for a user or group.", "为用户或群组添加地址。"),
    "help.alias.list": ("List aliases.", "列出别名。"),
    "help.alias.delete": ("Delete an alias.", "删除别名。"),
    "help.group": ("Addresses whose mail goes to every member.", "群组：邮件发给每个成员。"),
    "help.group.create": ("Create a group.", "创建群组。"),
    "help.group.list": ("List groups.", "列出群组。"),
    "help.group.show": ("Show a group.", "显示群组。"),
    "help.group.members": ("Replace a group's members.", "替换群组成员。"),
    "help.group.delete": ("Delete a group.", "删除群组。"),
    "help.domain": ("Domains of companies.", "公司的域名。"),
    "help.domain.add": ("Give a company one more domain.", "为公司增加域名。"),
    "help.domain.list": ("List the domains.", "列出域名。"),
    "help.domain.delete": ("Delete a domain that no address uses.", "删除没有地址使用的域名。"),
    "help.app_password": ("Passwords for single devices.", "单个设备的应用密码。"),
    "help.app_password.create": (
        "Create an app password and show it, this once.",
        "创建应用密码，仅显示一次。",
    ),
    "help.app_password.list": ("List app passwords.", "列出应用密码。"),
    "help.app_password.delete": ("Void an app password.", "作废应用密码。"),
    "help.queue": ("Mail that waits to go out.", "等待外发的邮件。"),
    "help.queue.list": ("List what waits.", "列出等待的邮件。"),
    "help.queue.show": ("Show one item.", "显示一项。"),
    "help.queue.retry": ("Try again now.", "立即重试。"),
    "help.queue.hold": ("Keep from going out.", "暂停外发。"),
    "help.queue.release": ("Let go out again.", "恢复外发。"),
    "help.queue.delete": ("Delete without sending.", "不发送而删除。"),
    "help.ledger": ("The log of every security event.", "所有安全事件的账本。"),
    "help.ledger.verify": (
        "Check the whole ledger: nothing altered, nothing missing.",
        "验证整个账本：无篡改、无缺失。",
    ),
    "help.ledger.show": ("Show the latest entries.", "显示最近的记录。"),
    "help.ledger.offline": (
        "Check a copy of a data or ledger directory instead.",
        "改为验证数据目录或账本目录的副本。",
    ),
    "help.ledger.key": ("Public key of the checkpoints, hexadecimal.", "检查点公钥（十六进制）。"),
    "help.ledger.known": (
        "A checkpoint kept elsewhere that the ledger must agree with; may be repeated.",
        "另行保存的检查点文件，账本必须与之相符；可重复。",
    ),
    "help.store": ("The stored mail.", "存储的邮件。"),
    "help.store.check": ("Have the vault check its rows and files.", "让存储库检查其记录和文件。"),
    "help.name": ("A name for people to read.", "供人阅读的名称。"),
    "help.password_stdin": ("Read the password from standard input.", "从标准输入读取密码。"),
    "help.no_password": ("Set no password: nobody can sign in yet.", "不设密码：暂时无法登录。"),
    "help.quota": ("Limit of the mailbox, as 10G.", "邮箱容量限制，如 10G。"),
    "help.yes": ("Do not ask for confirmation.", "不再确认。"),
    "help.count": ("How many.", "数量。"),
    "help.protocol": ("What it may be used for: imap, submission.", "用途：imap、submission。"),
    "help.member": ("An address; may be repeated.", "地址；可重复。"),
    "help.all": ("All items.", "所有项目。"),
    # --- results ---
    "done": ("Done.", "完成。"),
    "none": ("(nothing)", "（无）"),
    "tenant.created": (
        "Company {name} created with the domain {domain}.",
        "已创建公司 {name}，域名 {domain}。",
    ),
    "user.created": ("User {address} created.", "已创建用户 {address}。"),
    "group.created": ("Group {address} created.", "已创建群组 {address}。"),
    "deleted": (
        "Deleted. Messages destroyed: {messages}; keys destroyed: {keys}.",
        "已删除。销毁邮件 {messages} 封，密钥 {keys} 个。",
    ),
    "queue.changed": ("Items changed: {count}.", "已更改 {count} 项。"),
    "app_password.created": ("The password is shown this once: {password}", "密码仅显示一次：{password}"),
    "ledger.good": (
        "The ledger is whole: {entries} entries, checkpoint at {size}.",
        "账本完整：{entries} 条记录，检查点位于 {size}。",
    ),
    "ledger.torn": (
        "After them: {bytes} octets of a write that was cut short and never acknowledged.",
        "其后有 {bytes} 字节未完成的写入，从未被确认。",
    ),
    "ledger.bad": ("The ledger is NOT whole:", "账本不完整："),
    "store.good": (
        "The store is consistent: {mailboxes} mailboxes, {messages} messages, {bodies} bodies.",
        "存储一致：{mailboxes} 个邮箱，{messages} 封邮件，{bodies} 个正文。",
    ),
    "store.bad": ("The store has problems:", "存储存在问题："),
    "init.done": (
        "The node in {data} is ready to serve: postkeep serve --data {data}",
        "{data} 中的节点已就绪：postkeep serve --data {data}",
    ),
    "init.root_file": (
        "The root key lies in a file beside the data: good for trying, not for use. See [keys] in {config}.",
        "根密钥以文件形式存放在数据旁边：适合试用，不适合生产。请看 {config} 中的 [keys]。",
    ),
    "init.operator": (
        "The operator is the owner of {data} (user id {uid}): commands of that user are believed.",
        "运维人员是 {data} 的所有者（用户号 {uid}）：系统信任该用户的命令。",
    ),
    "guide.ready": ("Postkeep is running. It listens on {address}:", "Postkeep 正在运行，监听 {address}："),
    "guide.next": ("Next, in another terminal:", "接下来，请在另一个终端中执行："),
    "guide.ca": ("Clients trust this certificate authority: {path}", "客户端请信任该证书颁发机构：{path}"),
    "guide.stop": ("Ctrl-C stops it.", "按 Ctrl-C 停止。"),
    # --- questions ---
    "ask.password": ("Password: ", "密码："),
    "ask.again": ("Once more: ", "再输入一次："),
    "ask.passphrase": ("Passphrase of the root key: ", "根密钥口令："),
    "ask.delete": ("Delete {what} for good? Type yes: ", "永久删除 {what}？请输入 yes："),
    # --- columns ---
    "col.name": ("name", "名称"),
    "col.domains": ("domains", "域名"),
    "col.domain": ("domain", "域名"),
    "col.status": ("status", "状态"),
    "col.users": ("users", "用户数"),
    "col.address": ("address", "地址"),
    "col.kind": ("kind", "类型"),
    "col.aliases": ("aliases", "别名"),
    "col.members": ("members", "成员"),
    "col.quota": ("quota", "容量"),
    "col.created": ("created", "创建时间"),
    "col.last_sign_in": ("last sign-in", "最近登录"),
    "col.id": ("id", "标识"),
    "col.destination": ("destination", "目的地"),
    "col.recipients": ("recipients", "收件人数"),
    "col.size": ("size", "大小"),
    "col.attempts": ("attempts", "尝试次数"),
    "col.due": ("due", "下次尝试"),
    "col.state": ("state", "状态"),
    "col.reason": ("last answer", "最近应答"),
    "col.protocols": ("protocols", "协议"),
    "col.expires": ("expires", "到期"),
    "col.last_used": ("last used", "最近使用"),
    "col.index": ("index", "序号"),
    "col.time": ("time", "时间"),
    "col.event": ("event", "事件"),
    "col.source": ("source", "来源"),
    "col.outcome": ("outcome", "结果"),
    "col.note": ("note", "备注"),
    "col.check": ("check", "检查项"),
    "col.finding": ("finding", "结论"),
    "col.advice": ("what to do", "处理建议"),
    "col.role": ("role", "角色"),
    "col.uid": ("user id", "用户号"),
    # --- errors ---
    "error.not_running": (
        "The node in {data} is not running: start it with `postkeep serve --data {data}`.",
        "{data} 中的节点没有运行：请用 `postkeep serve --data {data}` 启动。",
    ),
    "error.not_owner": (
        "Only the user that runs the node in {data} may do this (root, or its owner).",
        "只有运行 {data} 中节点的用户（root 或其所有者）可以执行此操作。",
    ),
    "error.size": ("A size is a number with K, M, G or T, as 10G.", "大小是带 K、M、G 或 T 的数字，如 10G。"),
    "error.passwords_differ": ("The two passwords differ.", "两次输入的密码不同。"),
    "error.password_empty": ("The password is empty.", "密码为空。"),
    "error.no_terminal": (
        "No terminal to ask on: use --password-stdin.",
        "没有终端可供输入：请使用 --password-stdin。",
    ),
    "error.no_passphrase": (
        "No terminal to ask on: use --passphrase-fd.",
        "没有终端可供输入：请使用 --passphrase-fd。",
    ),
    "error.not_confirmed": ("Not confirmed; nothing was done.", "未确认；未做任何更改。"),
    "error.no_item": ("There is no such item in the queue.", "队列中没有这一项。"),
    "error.ids": ("Name the items, or use --all.", "请指定项目，或使用 --all。"),
    "error.id": ("An id has 32 hexadecimal digits.", "标识为 32 位十六进制数字。"),
    "error.not_group": ("{address} is not a group.", "{address} 不是群组。"),
    "error.ledger_key": (
        "The public key of the ledger is not there: give it with --key.",
        "找不到账本公钥：请用 --key 指定。",
    ),
    "error.unreadable": ("{path} can't be read.", "无法读取 {path}。"),
    "error.no_ledger": ("There is no ledger in {path}.", "{path} 中没有账本。"),
    "code.unavailable": (
        "The service is not available at the moment; try again.",
        "服务暂时不可用，请重试。",
    ),
    "code.internal": ("Something went wrong on our side; the logs say more.", "系统内部出错，详情请看日志。"),
    "code.refused": ("This is not permitted.", "不允许此操作。"),
    "code.not_found": ("There is no such thing.", "没有找到。"),
    "code.conflict": ("It exists already, or has changed meanwhile.", "已存在，或在此期间已更改。"),
    "code.invalid": ("The request is not valid.", "请求无效。"),
    "code.one_device": (
        "Categories that the configuration declares apart lie on one device.",
        "配置中声明为分离的数据类别位于同一设备；请把其中一个移到另一块磁盘，或去掉其目录。",
    ),
    "code.limit": ("A limit was reached.", "已达到上限。"),
    "code.throttled": ("Too many attempts. Please wait a moment.", "尝试次数过多，请稍候。"),
}

_language = 0


def choose(argument: str = "") -> None:
    """Set the language: as asked for, or by the environment (LC_ALL, LC_MESSAGES, LANG)."""
    global _language  # noqa: PLW0603 - one language per process, set once at its start
    wanted = argument or next(
        (value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), ""
    )
    _language = 1 if wanted.replace("_", "-").lower().startswith("zh") else 0


def text(key: str, **values: object) -> str:
    """Return a text in the language chosen."""
    return _TEXTS[key][_language].format(**values) if values else _TEXTS[key][_language]


def error_text(code: str, public_text: str) -> str:
    """Return what to say of an error: its own words in English, in other languages those of its family."""
    if not _language:
        return public_text
    family, _, rest = code.partition(".")
    if family == "approval_needed":
        return text("code.approval_needed", request=rest)
    if code == "refused.held":
        return text("code.refused.held", names=public_text.rpartition(": ")[2])
    known = next((key for key in (f"code.{code}", f"code.{family}") if key in _TEXTS), None)
    return _TEXTS[known][_language] if known else public_text


def language() -> int:
    """Return the column of every table of texts that holds the language chosen."""
    return _language


def all_texts() -> dict[str, tuple[str, str]]:
    """Return the whole table, for those who check it."""
    return dict(_TEXTS)
