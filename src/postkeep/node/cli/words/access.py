"""The owner's view of the ledger: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.ledger.key_show": (
        "Print the ledger's public keys, for verifiers elsewhere (one line each: name+id+key).",
        "打印账本的公钥，供外部验证者使用（每行一个：名称+标识+密钥）。",
    ),
    "help.ledger.export": (
        "Write one tenant's own log into a new directory, for the tenant to keep and to verify.",
        "将某个租户自己的账本导出到新目录，供该租户保存和验证。",
    ),
    "help.ledger.tenant": (
        "The tenant: one of its domains, or its identifier (then no node needs to run).",
        "租户：其任一域名，或其标识（用标识时无需运行节点）。",
    ),
    "ledger.exported": (
        "Written: {entries} entries in {path}. Check them with: postkeep ledger verify --offline {path}",
        "已写入 {entries} 条记录到 {path}。验证命令：postkeep ledger verify --offline {path}",
    ),
    "ledger.tenant_bad": ("Log of tenant {tenant}: {finding}", "租户 {tenant} 的账本：{finding}"),
    "ledger.tenants_good": (
        "The logs of {count} tenants agree with it.",
        "{count} 个租户的账本与之相符。",
    ),
    "ledger.silent": (
        "{source} stopped without a farewell: entry {index} is the last that was heard of it.",
        "{source} 未告别即停止：最后一条记录是 {index}。",
    ),
    "ledger.silent_more": (
        "… and {count} more that stopped without a farewell.",
        "……另有 {count} 个未告别即停止。",
    ),
    "help.ledger.sources": (
        "Show which processes have spoken to the ledger in the last day: alive, stopped in order, or silent.",
        "显示最近一天内向账本报告过的进程：运行中、已正常停止或静默。",
    ),
    "ledger.source.lives": ("lives", "运行中"),
    "ledger.source.left": ("stopped in order", "已正常停止"),
    "ledger.source.silent": ("SILENT", "静默"),
    "ledger.source.replaced": (
        "ended without a farewell; {successor} follows",
        "未告别即结束；由 {successor} 接替",
    ),
    "ledger.source.silent_why": (
        (
            "Silent: not stopped in order, and nothing has taken its place. It was killed, hangs, or is kept "
            "from speaking: look at its log, then restart the node."
        ),
        "静默：非正常停止，且无进程接替。它可能已被终止、挂起或被阻止报告：请查看其日志，然后重启节点。",
    ),
    "error.no_tenant_log": (
        "There is no signed log of {tenant} yet: it is signed within a minute of the first entry.",
        "{tenant} 还没有已签名的账本：首条记录后一分钟内会签名。",
    ),
    "error.not_written": (
        "{path} can't be written; give a directory that does not exist yet.",
        "无法写入 {path}；请指定一个尚不存在的目录。",
    ),
    "error.no_checkpoint": (
        "The ledger has no signed checkpoint yet: start the node once and try again.",
        "账本还没有签名的检查点：请先启动一次节点再试。",
    ),
    "help.access": (
        "Show the owner of a mailbox what was done with it: who, when, from where, why. The owner signs in.",
        "向邮箱所有者显示其邮箱被谁、何时、从何处、为何访问。需所有者本人登录。",
    ),
    "help.access.since": (
        "From this day or moment on (UTC), as 2026-03-01.",
        "起始日期或时刻（UTC），如 2026-03-01。",
    ),
    "help.access.until": ("Up to this day or moment (UTC), excluded.", "截止日期或时刻（UTC），不含。"),
    "help.access.limit": ("At most so many entries, the newest first.", "最多显示的条数，最新的在前。"),
    "ask.own_password": ("Your password: ", "您的密码："),
    "error.access_refused": (
        "The address or the password is wrong. It is the one that you sign in to your mail with.",
        "地址或密码错误。请使用您登录邮箱的密码。",
    ),
    "error.access_throttled": (
        "Too many wrong passwords: try again in some minutes.",
        "密码错误次数过多，请几分钟后再试。",
    ),
    "error.time": (
        "{given} is no day or moment; write it as 2026-03-01 or 2026-03-01T14:30.",
        "{given} 不是有效的日期或时刻；请写成 2026-03-01 或 2026-03-01T14:30。",
    ),
    "access.unreadable": ("(can't be opened)", "（无法打开）"),
    "col.access_who": ("Who", "谁"),
    "col.access_what": ("What", "做了什么"),
    "col.access_from": ("From", "来自"),
    "col.access_why": ("Why", "原因"),
    "access.by.you": ("you, over {module}", "您本人，通过 {module}"),
    "access.by.command": ("you, at the command line", "您本人，通过命令行"),
    "access.by.operator": ("operator", "运维人员"),
    "access.by.staff": ("staff member {actor}", "工作人员 {actor}"),
    "access.by.colleague": ("somebody in your company", "贵公司的同事"),
    "access.by.somebody": ("somebody without your password", "没有正确密码的人"),
    "access.by.server": ("the mail server ({module})", "邮件服务器（{module}）"),
    "access.why.session": ("signed in, session {session}", "已登录，会话 {session}"),
    "access.why.delivery": ("mail for you", "收到您的邮件"),
    "access.why.sending": ("mail from you", "发送您的邮件"),
    "access.why.command": ("operator's command, session {session}", "运维命令，会话 {session}"),
    "access.why.ledger": ("for the ledger's own records", "用于账本记录"),
    "access.refused": ("{what} – refused ({code})", "{what}——已拒绝（{code}）"),
    "access.sign_in": ("signed in", "登录"),
    "access.sign_in.refused": ("tried to sign in", "尝试登录"),
    "access.sign_out": ("signed out", "退出登录"),
    "access.ticket": ("received a ticket for the session", "为会话签发票据"),
    "access.ticket.revoked": ("ended all tickets", "撤销了全部票据"),
    "access.key.release": ("keys unlocked, for periods of mail: {count}", "解锁 {count} 个时段的邮件密钥"),
    "access.key.person": ("unlocked the key of the ledger's addresses", "解锁账本地址的密钥"),
    "access.key.refuse": ("asked for keys", "请求密钥"),
    "access.key.create": ("made keys for the mailbox", "为邮箱生成密钥"),
    "access.key.rotate": ("changed the mailbox's keys", "更换邮箱密钥"),
    "access.key.shred": ("destroyed the mailbox's keys", "销毁邮箱密钥"),
    "access.deposit": ("messages delivered: {count}", "投递了 {count} 封邮件"),
    "access.append": ("messages stored: {count}", "存入 {count} 封邮件"),
    "access.submit": ("messages sent: {count}", "发送 {count} 封邮件"),
    "access.read.content": ("messages read: {count}", "阅读了 {count} 封邮件"),
    "access.read.summaries": ("messages looked through: {count}", "查看了 {count} 封邮件的列表"),
    "access.read.queue": ("messages of yours taken for sending: {count}", "取出您的 {count} 封待发邮件"),
    "access.write.flags": ("messages whose marks were changed: {count}", "更改了 {count} 封邮件的标记"),
    "access.write.copy": ("messages copied: {count}", "复制了 {count} 封邮件"),
    "access.write.mailboxes": ("folders made or changed: {count}", "新建或更改了 {count} 个文件夹"),
    "access.write": ("messages changed: {count}", "更改了 {count} 封邮件"),
    "access.shred": ("messages deleted for good: {count}", "永久删除了 {count} 封邮件"),
    "access.queue": ("messages of yours sent on ({note}): {count}", "转发了您的 {count} 封邮件（{note}）"),
    "access.refuse": ("was turned away", "被拒绝访问"),
    "access.admin": ("the command: {note}", "命令：{note}"),
    "access.directory": ("the directory was changed: {note}", "目录已更改：{note}"),
    "access.directory.password": ("your password was set", "您的密码已被设置"),
    "access.directory.create": ("your account was made", "您的账户已创建"),
    "access.directory.status": ("your account was enabled or disabled", "您的账户被启用或停用"),
    "access.directory.quota": ("your storage limit was changed", "您的存储上限已更改"),
    "access.directory.alias": ("your addresses were changed", "您的地址已更改"),
    "access.directory.token": ("an access token was made or deleted", "访问令牌被创建或删除"),
    "access.directory.app": ("an app password was made or deleted", "应用密码被创建或删除"),
    "access.other": ("event {event} {note}", "事件 {event} {note}"),
}
