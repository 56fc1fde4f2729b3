"""Explaining a decision from the ledger, the ticket policy, ticket keys: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

_EVENTS: Final[dict[str, tuple[str, str]]] = {
    "export": ("mail was read out on a request", "按请求导出邮件"),
    "sign_in": ("sign-in", "登录"),
    "sign_out": ("sign-out", "退出登录"),
    "ticket.issue": ("a ticket was issued", "签发票据"),
    "ticket.refuse": ("a ticket was asked for", "申请票据"),
    "ticket.revoke": ("tickets were revoked", "吊销票据"),
    "access.refuse": ("a call", "调用"),
    "key.release": ("a key was given out", "交出密钥"),
    "key.refuse": ("a key was asked for", "申请密钥"),
    "key.create": ("a key was made", "生成密钥"),
    "key.rotate": ("a key was exchanged", "轮换密钥"),
    "key.shred": ("a key was destroyed", "销毁密钥"),
    "mail.deposit": ("mail was stored", "存入邮件"),
    "mail.read": ("mail was read", "读取邮件"),
    "mail.write": ("mail was changed", "更改邮件"),
    "mail.shred": ("mail was destroyed", "销毁邮件"),
    "queue": ("the outbound queue", "外发队列"),
    "admin": ("an administrative command", "管理命令"),
    "directory": ("the directory was changed", "更改目录"),
    "node": ("the node", "节点"),
    "authority.key": ("the authority signs with a key", "授权方启用签名密钥"),
}

_CHECKS: Final[dict[str, tuple[str, str]]] = {
    "handshake": ("the handshake", "握手"),
    "frame": ("the frame of the call", "调用帧"),
    "parse": ("parse", "解析"),
    "signature": ("signature", "签名"),
    "audience": ("audience", "受众"),
    "time": ("time", "时间"),
    "revocation": ("revocation", "吊销"),
    "chain": ("chain and delegation", "票据链与委托"),
    "possession": ("possession", "持有"),
    "rule": ("the table of rules: user and module together", "规则表：用户与模块的共同权限"),
    "object": ("the object of the request", "请求的对象"),
    "budget": ("the ticket's budget", "票据额度"),
    "policy": ("the ticket policy", "票据策略"),
    "enrolment": ("enrolment", "登记"),
    "sign-in": ("sign-in", "登录"),
    "database": ("the database's own login", "数据库登录"),
    "keeper": ("a check of the keeper's own", "保管模块自身的检查"),
}

_REASONS: Final[dict[str, tuple[str, str]]] = {
    "refused.handshake": (
        "The caller did not prove who it is. Needed: the handshake's next word, signed by its key.",
        "调用方未能证明身份。需要：以其密钥签名的下一步握手消息。",
    ),
    "refused.frame": (
        "What came is no call. Needed: a frame of the channel, of a possible length.",
        "收到的不是调用。需要：长度合理的通道帧。",
    ),
    "refused.mac": (
        "The frame is not authentic. Needed: its tag under this connection's key.",
        "帧不真实。需要：用本连接密钥算出的校验标签。",
    ),
    "refused.counter": (
        "The frame was copied or left out. Needed: the next number.",
        "帧被重放或缺失。需要：下一个序号。",
    ),
    "refused.malformed": (
        "What was shown is no ticket. Needed: a v4.public token, with at most three more in its chain.",
        "出示的不是票据。需要：v4.public 令牌，其链上最多再有三个。",
    ),
    "refused.claims": (
        "The ticket says something that can't be read. Needed: known claims only.",
        "票据内容无法读取。需要：仅含已知的声明。",
    ),
    "refused.no_module_ticket": (
        "The caller showed no module ticket. Needed: enrolment first.",
        "调用方没有出示模块票据。需要：先完成登记。",
    ),
    "refused.signature": (
        (
            "No key that is believed for such a ticket has signed it. Needed: a signature of the authority's "
            "key of now, or of the one before it."
        ),
        "没有可信密钥为此类票据签名。需要：授权方当前或上一个密钥的签名。",
    ),
    "refused.audience": (
        "The ticket was made for other keepers. Needed: a ticket that names this keeper.",
        "票据是发给其他保管模块的。需要：写明本模块的票据。",
    ),
    "refused.expired": (
        "The ticket's time had run out. Needed: a renewed ticket.",
        "票据已过期。需要：续签后的票据。",
    ),
    "refused.early": (
        "The ticket's time had not come. Needed: clocks that agree to within five seconds.",
        "票据尚未生效。需要：误差不超过五秒的时钟。",
    ),
    "refused.revoked": (
        "Its session, user, tenant or module was revoked after the ticket's issue. Needed: a new sign-in.",
        "票据签发于其会话、用户、租户或模块被吊销之前。需要：重新登录。",
    ),
    "refused.chain": (
        "The chain of tickets does not hold together. Needed: each signed by the holder of the one before.",
        "票据链不成立。需要：每张票据由上一张的持有者签名。",
    ),
    "refused.widened": (
        "A ticket of the chain allows more than the one it hangs on. Needed: at most the same.",
        "链上某张票据的权限超出上一张。需要：不超过上一张。",
    ),
    "refused.delegation": (
        (
            "The modules that the ticket came through may not act for users here. Needed: a line of the "
            "table of delegations that has them."
        ),
        "票据所经模块不得在此代表用户行事。需要：委托表中有对应的一行。",
    ),
    "refused.holder": (
        "The ticket was shown by another than its holder. Needed: the key that the ticket names.",
        "出示票据者不是其持有者。需要：票据写明的密钥。",
    ),
    "refused.certificate": (
        "The module showed another certificate than it was enrolled with. Needed: that one.",
        "模块出示的证书与登记时不同。需要：登记时的证书。",
    ),
    "refused.module": (
        "Another module is meant. Needed: the module that the rule or the connection names.",
        "应由另一模块调用。需要：规则或连接写明的模块。",
    ),
    "refused.method": (
        "The module's ticket does not list the method. Needed: a line of the table with this module.",
        "模块票据未列出该方法。需要：规则表中有含此模块的一行。",
    ),
    "refused.no_ticket": (
        "No ticket was shown beside the module's. Needed: a ticket as the line below says.",
        "除模块票据外没有出示票据。需要：下列规则要求的票据。",
    ),
    "refused.kind": (
        "The ticket is of another kind. Needed: the kind that the line below names.",
        "票据种类不符。需要：下列规则写明的种类。",
    ),
    "refused.action": (
        "The ticket does not allow the action. Needed: the action that the line below names.",
        "票据不允许该操作。需要：下列规则写明的操作。",
    ),
    "refused.category": (
        "The ticket does not cover the category of data. Needed: the categories that the line below names.",
        "票据不涵盖该类数据。需要：下列规则写明的类别。",
    ),
    "refused.tenant": (
        "The request was about another company. Needed: a ticket of that company's.",
        "请求涉及另一公司。需要：该公司的票据。",
    ),
    "refused.principal": (
        "The request was about another person. Needed: a ticket of that person's.",
        "请求涉及另一用户。需要：该用户的票据。",
    ),
    "refused.mailbox": (
        "The ticket is limited to other mailboxes. Needed: one that covers the mailbox.",
        "票据仅限其他邮箱文件夹。需要：涵盖该文件夹的票据。",
    ),
    "refused.budget": (
        "The ticket's budget of objects was used up. Needed: a new operation ticket.",
        "票据的对象额度已用完。需要：新的操作票据。",
    ),
    "refused.policy": (
        (
            "The ticket policy did not permit it. Needed: a policy that permits it, and none that forbids it "
            "(postkeep policy show)."
        ),
        "票据策略不允许。需要：有策略允许且无策略禁止（postkeep policy show）。",
    ),
    "refused.enrolment": (
        "Not the process that was started for this instance. Needed: its one-time secret, from its process.",
        "不是为该实例启动的进程。需要：由该进程出示其一次性密钥。",
    ),
    "refused.operator": (
        "Not the owner of the data directory. Needed: its user, or root.",
        "不是数据目录的所有者。需要：该用户或 root。",
    ),
    "refused.purpose": (
        "The purpose is not this module's. Needed: a line of the table of purposes with it.",
        "该用途不属于此模块。需要：用途表中有含此模块的一行。",
    ),
    "refused.credentials": (
        "Name and password did not fit. Needed: the password of an account that is active.",
        "用户名与密码不符。需要：有效账户的密码。",
    ),
    "refused.session": (
        "The session had ended. Needed: a new sign-in.",
        "会话已结束。需要：重新登录。",
    ),
    "refused.protocol": (
        "A face named another's protocol. Needed: its own.",
        "接入模块写明了其他模块的协议。需要：自身的协议。",
    ),
    "refused.database": (
        "The database refused the login. Needed: the keeper's own login, for its own database.",
        "数据库拒绝登录。需要：该保管模块自己的登录名和数据库。",
    ),
    "other": (
        "The keeper refused it for a reason of its own: {code}.",
        "保管模块因自身原因拒绝：{code}。",
    ),
}

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.explain": (
        "Explain a decision from its entry in the ledger (see 'ledger show').",
        "根据账本条目解释一项决定（条目见 ledger show）。",
    ),
    "help.explain.entry": ("The entry's number.", "条目编号。"),
    "help.policy": ("The policy of who may be given which ticket.", "票据签发策略。"),
    "help.policy.show": ("Print the policy text.", "显示策略文本。"),
    "help.key.rotate.ticket": (
        "Exchange the key that tickets are signed with.",
        "轮换票据签名密钥。",
    ),
    "explain.head.refused": (
        "Entry {index}, {time}: {what}, and was refused.",
        "条目 {index}，{time}：{what}，被拒绝。",
    ),
    "explain.head.allowed": (
        "Entry {index}, {time}: {what}. It was allowed.",
        "条目 {index}，{time}：{what}，已允许。",
    ),
    "explain.head.issued": ("Entry {index}, {time}: {what}.", "条目 {index}，{time}：{what}。"),
    "explain.head.recorded": (
        "Entry {index}, {time}: {what}. Nothing was decided.",
        "条目 {index}，{time}：{what}，不涉及决定。",
    ),
    "explain.who": (
        "Who asked: {instance}, a module of the kind {module}.",
        "请求者：{instance}，属于 {module} 模块。",
    ),
    "explain.stranger": (
        "Who asked: nobody that has proved who it is (told by {source}).",
        "请求者：未证明身份（由 {source} 报告）。",
    ),
    "explain.source": (
        "Who reports it: {source}, its event number {number}.",
        "报告者：{source}，其第 {number} 个事件。",
    ),
    "explain.actor": ("On whose word: {actor}.", "依据何人指令：{actor}。"),
    "explain.session": ("In the session {session}.", "所属会话：{session}。"),
    "explain.whom": (
        "For whom: principal {principal} of tenant {tenant}.",
        "涉及对象：租户 {tenant} 的主体 {principal}。",
    ),
    "explain.tenant": ("For whom: tenant {tenant}.", "涉及对象：租户 {tenant}。"),
    "explain.what": ("What: {method}.", "方法：{method}。"),
    "explain.objects": ("On how much: {count}.", "数量：{count}。"),
    "explain.category": ("Which data: {category}.", "数据类别：{category}。"),
    "explain.note": ("Said with it: {note}.", "附注：{note}。"),
    "explain.check": ("Which check said no: {check} ({code}).", "未通过的检查：{check}（{code}）。"),
    "explain.line": (
        "Line of the table: {method} may be called by {callers}, showing {ticket}.",
        "规则行：{method} 可由 {callers} 调用，须出示{ticket}。",
    ),
    "explain.line.none": ("no ticket beside the module's", "模块票据（无需其他票据）"),
    "explain.line.ticket": (
        "a ticket of the kind {kind} that allows {action} on {categories}",
        "种类为 {kind} 的票据，允许对 {categories} 执行 {action}",
    ),
    "explain.line.nothing": ("no data of a category", "无特定类别的数据"),
    "explain.line.fresh": (
        (
            "It releases bodies or keys: only while revocations are known to within ten seconds, and the "
            "ledger takes entries."
        ),
        "该方法交出正文或密钥：仅当吊销信息不超过十秒且账本可写时允许。",
    ),
    "explain.ticket": (
        "With which ticket: {ticket}, issued {time} as {purpose} to {holder}, {seconds} s (entry {entry}).",
        "所用票据：{ticket}，于 {time} 为 {purpose} 签发给 {holder}，有效 {seconds} 秒（条目 {entry}）。",
    ),
    "explain.ticket.allows": ("What the ticket allows: {allows}.", "票据权限：{allows}。"),
    "explain.ticket.policies": ("By which policy it was issued: {policies}.", "签发依据的策略：{policies}。"),
    "explain.ticket.unknown": (
        "With which ticket: {ticket}, issued {time}; its entry is not among those looked through.",
        "所用票据：{ticket}，于 {time} 签发；其条目不在所查范围内。",
    ),
    "explain.policies": ("Which policies decided: {policies}.", "起决定作用的策略：{policies}。"),
    "explain.policies.none": (
        "Which policies decided: none permits it.",
        "起决定作用的策略：没有策略允许。",
    ),
    "explain.before": ("Before it, with the same ticket or session:", "此前同一票据或会话的条目："),
    "explain.after": ("After it:", "此后的条目："),
    "explain.related.refused": (" (refused: {code})", "（拒绝：{code}）"),
    "explain.nothing": ("  nothing", "  无"),
    "explain.incomplete": (
        (
            "The ledger was too busy to look through the whole life of the ticket; what is listed is "
            "right, and may not be all."
        ),
        "账本条目过多，未能查遍该票据的整个有效期；所列属实，但可能不全。",
    ),
    "ticket_key.rotated": (
        (
            "Tickets are signed with the key {new} from now on. The one before it, {previous}, is believed "
            "until {time}."
        ),
        "今后用密钥 {new} 签发票据。上一个密钥 {previous} 在 {time} 之前仍受信任。",
    ),
    "code.conflict.rotation": (
        (
            "The ticket key was rotated a moment ago; tickets of the key before it are still in force. Try "
            "again in a quarter of an hour."
        ),
        "票据密钥刚刚轮换，此前密钥签发的票据仍有效。请一刻钟后再试。",
    ),
    "code.ticket_policy": (
        "The ticket policy can't be relied on, so no ticket is issued.",
        "票据策略不可靠，因此不签发任何票据。",
    ),
    **{f"event.{name}": words for name, words in _EVENTS.items()},
    **{f"check.{name}": words for name, words in _CHECKS.items()},
    **{f"reason.{code}": words for code, words in _REASONS.items()},
}
