"""Destruction orders, holds and certificates: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    # --- help ---
    "help.destroy": ("Destroy something for good, with a certificate.", "永久销毁，并出具证明。"),
    "help.destroy.list": (
        "List a person's mailboxes, or a mailbox's messages, as the store sees them (no names, no subjects).",
        "列出用户的邮箱文件夹或其中邮件（仅存储可见的信息：无名称、无主题）。",
    ),
    "help.destroy.after": ("Begin after this UID.", "从该 UID 之后开始。"),
    "help.destroy.message": ("Messages by UID (7 or 7:9) in a mailbox.", "按 UID（7 或 7:9）销毁邮件。"),
    "help.destroy.mailbox": (
        "All that a mailbox holds now; MAILBOX is an identifier or a role (inbox, sent ...).",
        "文件夹中现有的全部邮件；MAILBOX 为标识符或角色（inbox、sent 等）。",
    ),
    "help.destroy.person": ("A person with all mail and keys.", "用户及其全部邮件和密钥。"),
    "help.destroy.category": (
        "A category of a company's data: content (what its mail says), operations (what waits to go out).",
        "公司的某类数据：content（邮件内容）或 operations（待发邮件）。",
    ),
    "help.destroy.tenant": ("A company with all it has.", "公司及其全部数据。"),
    "help.destroy.backup": ("A backup.", "一个备份。"),
    "help.destroy.reason": (
        "Why; it stands in the certificate as written, so give a case number rather than names.",
        "原因；将原样写入证明，请填写案号而非姓名。",
    ),
    "help.destroy.wait": (
        "Wait until it is certified, or waits for something.",
        "等待直至出具证明或需要等待其他条件。",
    ),
    "help.destroy.canary": (
        "Read known texts (16 to 4096 octets a line) from standard input and look for them too.",
        "从标准输入读取已知文本（每行 16 至 4096 字节），一并查找。",
    ),
    "help.order": ("Destruction orders.", "销毁指令。"),
    "help.order.list": ("List orders.", "列出指令。"),
    "help.order.show": ("Show an order, step by step.", "逐步显示指令。"),
    "help.order.resume": ("Try now what an order waits for.", "立即重试等待中的指令。"),
    "help.hold": ("Legal holds: what must not be destroyed.", "法律保留：不得销毁的内容。"),
    "help.hold.place": ("Place a hold.", "设置保留。"),
    "help.hold.list": ("List holds that stand.", "列出有效的保留。"),
    "help.hold.released": ("Released and expired ones too.", "包括已解除和已到期的。"),
    "help.hold.show": ("Show a hold.", "显示保留。"),
    "help.hold.release": ("Release a hold; orders that waited go on.", "解除保留；等待中的指令将继续。"),
    "help.hold.reason": ("Why; no refusal shows it.", "原因；拒绝提示中不会显示。"),
    "help.hold.person": ("All of this person's mail and keys.", "该用户的全部邮件和密钥。"),
    "help.hold.tenant": ("All of the company with this domain.", "该域名所属公司的全部数据。"),
    "help.hold.mailbox": (
        "With --person: only this mailbox (an identifier or a role).",
        "与 --person 一起：仅此文件夹（标识符或角色）。",
    ),
    "help.hold.class": (
        "Class of the reason, which refusals show: litigation, investigation, regulatory, other.",
        "原因类别（拒绝提示中显示）：litigation、investigation、regulatory、other。",
    ),
    "help.hold.until": (
        "Last day (2027-12-31), UTC; none: until released.",
        "最后一天（UTC）；不填则直至解除。",
    ),
    "help.certificate": ("Certificates of destruction.", "销毁证明。"),
    "help.certificate.show": ("Print a certificate, or write it to files.", "显示证明或写入文件。"),
    "help.certificate.output": ("Write the JSON to this file.", "将 JSON 写入该文件。"),
    "help.certificate.pdf": ("Write it as a document (PDF) to this file.", "以 PDF 文档写入该文件。"),
    "help.certificate.verify": (
        "Check a certificate with public keys only; no node is needed.",
        "仅用公钥验证证明；无需运行节点。",
    ),
    "help.certificate.key": (
        "Directory with certificate.pub, ledger.pub and ledger-mldsa44.pub (default: the data directory).",
        "包含 certificate.pub、ledger.pub 和 ledger-mldsa44.pub 的目录（默认：数据目录）。",
    ),
    # --- columns ---
    "col.message_uid": ("UID", "邮件 UID"),
    "col.why": ("reason", "原因"),
    "col.date": ("date", "日期"),
    "col.deposit": ("deposit", "投递"),
    "col.messages": ("messages", "邮件"),
    "col.unit": ("what", "对象"),
    "col.step": ("step", "步骤"),
    "col.waiting": ("waits for", "等待"),
    "col.covers": ("covers", "范围"),
    "col.class": ("class", "类别"),
    "col.placed_by": ("placed by", "设置人"),
    # --- answers ---
    "unit.message": ("messages", "邮件"),
    "unit.mailbox": ("mailbox", "文件夹"),
    "unit.person": ("person", "用户"),
    "unit.category": ("category", "数据类别"),
    "unit.tenant": ("company", "公司"),
    "unit.backup": ("backup", "备份"),
    "order.title": ("Order {id}: {unit}", "指令 {id}：{unit}"),
    "order.step.requested": ("requested", "已请求"),
    "order.step.cleared": ("no legal hold covers it", "无法律保留"),
    "order.step.approved": ("approved", "已批准"),
    "order.step.deleted": ("deleted: nobody finds it any more", "已删除：不再可见"),
    "order.step.destroyed": ("keys destroyed", "密钥已销毁"),
    "order.step.purged": ("stores purged", "存储已清除"),
    "order.step.unbacked": ("no backup holds its keys", "备份中无其密钥"),
    "order.step.verified": ("verified: searched for and not found", "已核实：查找未果"),
    "order.step.certified": ("certified", "已出具证明"),
    "order.step.refused": ("ended, nothing was done", "已终止，未执行"),
    "order.waiting.held": ("Waits for the release of legal hold {what}.", "等待法律保留解除：{what}。"),
    "order.line.tenant": ("  company    {value}", "  公司    {value}"),
    "order.line.principal": ("  person     {value}", "  用户    {value}"),
    "order.line.mailbox": ("  mailbox    {value}", "  文件夹  {value}"),
    "order.line.uids": ("  messages   {value}", "  邮件    {value}"),
    "order.line.category": ("  category   {value}", "  类别    {value}"),
    "order.line.backup": ("  backup     {value}", "  备份    {value}"),
    "order.line.requester": ("  asked by   {value}", "  请求人  {value}"),
    "order.line.reason": ("  reason     {value}", "  原因    {value}"),
    "order.line.request": ("  approval   {value}", "  审批    {value}"),
    "order.waiting.approval": (
        "Waits for other people's approval (postkeep request list); it then goes on by itself.",
        "等待他人批准（postkeep request list）；批准后自动继续。",
    ),
    "order.waiting.operator": (
        "No legal hold covers it any more. Go on with it: postkeep order resume {id}",
        "已无法律保留。请继续执行：postkeep order resume {id}",
    ),
    "order.waiting.request_ended": (
        "Its request was declined, withdrawn, or not approved in time. Give the command anew to ask again.",
        "审批请求已被否决、撤回或逾期。如需再次申请，请重新执行命令。",
    ),
    "order.waiting.not_found.nothing": ("There was nothing of it to destroy.", "没有可销毁的内容。"),
    "order.short.held": ("legal hold", "法律保留"),
    "order.short.approval": ("approval", "批准"),
    "order.short.operator": ("operator", "操作人"),
    "order.short.backups": ("backups", "备份"),
    "order.short.unavailable": ("a module", "模块"),
    "order.short.found": ("KEY FOUND", "发现密钥"),
    "order.short.request_ended": ("not approved", "未获批准"),
    "order.short.not_found.nothing": ("nothing there", "无内容"),
    "order.short.other": ("see the order", "见指令"),
    "order.waiting.backups": (
        "Waits for backups that still hold keys, until {until}: {what}. At once: postkeep backup rekey",
        "等待仍含密钥的备份，最迟至 {until}：{what}。立即处理：postkeep backup rekey",
    ),
    "order.waiting.unavailable": (
        "Waits for a part of the node that is away; it is tried again by itself.",
        "等待暂不可用的模块；将自动重试。",
    ),
    "order.waiting.found": (
        "A destroyed key or known text was FOUND in: {what}. Remove it, then: postkeep order resume {id}",
        "在以下位置发现已销毁的密钥或已知文本：{what}。请清除后执行：postkeep order resume {id}",
    ),
    "order.waiting.other": ("Waits: {what}", "等待：{what}"),
    "order.gone": (
        "Messages destroyed: {messages}; keys destroyed: {keys}.",
        "已销毁邮件：{messages}；已销毁密钥：{keys}。",
    ),
    "order.searched": (
        "Searched {files} files, {size}: nothing found.",
        "已查找 {files} 个文件，共 {size}：未发现。",
    ),
    "order.certificate": (
        "Certificate: postkeep certificate show {id}",
        "证明：postkeep certificate show {id}",
    ),
    "hold.placed": ("Hold {id} is in force.", "保留 {id} 已生效。"),
    "hold.released": ("Hold {id} is released.", "保留 {id} 已解除。"),
    "hold.class.litigation": ("litigation", "诉讼"),
    "hold.class.investigation": ("investigation", "调查"),
    "hold.class.regulatory": ("regulatory", "监管"),
    "hold.class.other": ("other", "其他"),
    "hold.state.placing": ("being placed", "设置中"),
    "hold.state.active": ("in force", "有效"),
    "hold.state.releasing": ("being released", "解除中"),
    "hold.state.released": ("released", "已解除"),
    "certificate.written": ("Written.", "已写入。"),
    "certificate.good": (
        "Certificate {id} ({unit}) is genuine: signatures, ledger entry and checkpoint hold.",
        "证明 {id}（{unit}）真实有效：签名、账本记录和检查点均通过验证。",
    ),
    "certificate.bad": ("The certificate does not hold: {why}.", "证明无效：{why}。"),
    # --- errors ---
    "error.uids": ("UIDs are written 7 or 7:9.", "UID 写作 7 或 7:9。"),
    "error.canary": (
        "Known texts have 16 to 4096 octets a line.",
        "已知文本每行须为 16 至 4096 字节。",
    ),
    "error.hold_scope": (
        "Name either --person (with --mailbox, if you like) or --tenant.",
        "请指定 --person（可加 --mailbox）或 --tenant 之一。",
    ),
    "error.day": ("A day is written 2027-12-31.", "日期写作 2027-12-31。"),
    "error.unreadable": ("{path} can't be read.", "无法读取 {path}。"),
    "error.certificate_keys": (
        "{path} does not hold the public keys ({names}). Copy them from the node's data, or use --key.",
        "{path} 中没有公钥（{names}）。请从节点数据目录复制，或使用 --key 指定。",
    ),
    "code.not_found.order": ("There is no such order.", "没有该指令：postkeep order list"),
    "code.not_found.hold": ("There is no such hold.", "没有该保留：postkeep hold list"),
    "code.not_found.nothing": ("There is nothing of it to destroy.", "没有可销毁的内容。"),
    "code.not_found.backup": ("There is no such backup.", "没有该备份：postkeep backup list"),
    "code.not_found.mailbox": (
        "There is no such mailbox.",
        (
            "没有该文件夹。名称已加密：请使用标识符或角色（inbox、sent、drafts、trash、junk、archive），"
            "查看：postkeep destroy list 地址"
        ),
    ),
    "code.conflict.certificate": (
        "There is no certificate yet.",
        "指令尚未完成，还没有证明；请查看：postkeep order show",
    ),
    "code.invalid.uids": (
        "A UID is a number from 1 to 4294967295, and a range goes upwards: 7:9.",
        "UID 为 1 至 4294967295 的数字，范围须递增（如 7:9），最多 1000 段。",
    ),
    "code.invalid.reason": ("A reason has at most 1000 characters.", "原因最多 1000 个字符。"),
    "code.invalid.hold_class": (
        "The classes of reasons are: litigation, investigation, regulatory, other.",
        "原因类别为：litigation、investigation、regulatory、other。",
    ),
    "code.invalid.hold_reason": ("A hold has a reason.", "保留须填写原因，最多 1000 个字符。"),
    "code.invalid.category": (
        "A category that can be destroyed alone is one of: content, operations.",
        "可单独销毁的类别为：content、operations。",
    ),
    "code.invalid.category_metadata": (
        "Headers are part of the content.",
        "邮件头属于内容，仅销毁元数据后地址和主题仍可读。请销毁 content、文件夹、用户或公司。",
    ),
    "code.invalid.category_account": (
        "Accounts belong to persons.",
        "账户属于用户：请销毁用户或公司。",
    ),
    "code.invalid.category_secret": (
        "Keys are destroyed with what they open.",
        "密钥随其所保护的数据一并销毁：请销毁用户或公司。",
    ),
    "code.invalid.category_audit": (
        "The ledger forgets nothing.",
        "账本不删除任何记录，以便证明其余一切。其中的个人信息以各人专属密钥加密：请销毁用户或公司。",
    ),
    "code.refused.held": (
        "It is under legal hold and can't be destroyed before the release of: {names}",
        "处于法律保留之下，解除前不得销毁：{names}",
    ),
}
