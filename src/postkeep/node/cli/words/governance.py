"""Staff, requests and approvals: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    # --- help ---
    "help.as": (
        (
            "Act as this staff member; the password is asked for, or read with --password-stdin before the "
            "command, or from the file that POSTKEEP_STAFF_PASSWORD_FILE names."
        ),
        (
            "以该员工身份操作；密码将被询问，或在命令前用 --password-stdin 读取，"
            "或取自 POSTKEEP_STAFF_PASSWORD_FILE 指定的文件。"
        ),
    ),
    "help.as_stdin": (
        "With --as: read the staff member's password from standard input (before the command).",
        "与 --as 一起使用：从标准输入读取员工密码（写在命令之前）。",
    ),
    "help.staff": ("Who operates this installation.", "本系统的运维人员。"),
    "help.staff.create": ("Create a staff account.", "创建员工账户。"),
    "help.staff.list": ("List the staff.", "列出员工。"),
    "help.staff.show": ("Show a staff member.", "显示员工。"),
    "help.staff.disable": (
        "Keep a staff member out; what the member holds is void at once.",
        "停用员工；其持有的凭证立即失效。",
    ),
    "help.staff.enable": ("Let a staff member in again.", "重新启用员工。"),
    "help.staff.roles": ("Replace a staff member's roles.", "更换员工角色。"),
    "help.staff.password": (
        "Set a staff member's password; with --as NAME, your own.",
        "设置员工密码；与 --as 本人姓名一起使用则更改自己的密码。",
    ),
    "help.staff.delete": (
        "Delete a staff account; what it did stays in the ledger.",
        "删除员工账户；其操作记录保留在账本中。",
    ),
    "help.staff.role": (
        "operator, approver or auditor; may be given more than once.",
        "operator（运维）、approver（审批）或 auditor（审计）；可多次给出。",
    ),
    "help.request": ("Requests that wait for approvals.", "等待审批的请求。"),
    "help.request.list": ("List the requests.", "列出请求。"),
    "help.request.all": ("Also those that are over.", "包括已结束的请求。"),
    "help.request.show": ("Show a request with its votes.", "显示请求及其表决。"),
    "help.request.withdraw": ("Take back a request of your own.", "撤回自己的请求。"),
    "help.approve": ("Approve a request of somebody else.", "批准他人的请求。"),
    "help.decline": ("Decline a request; one vote is enough.", "否决请求；一票即可。"),
    "help.reason": ("Why.", "理由。"),
    "help.dual_control": (
        (
            "Whether destruction, export of mail, custody and restoring of keys, and changes of staff need "
            "two approvals."
        ),
        "销毁、邮件导出、密钥托管与恢复以及员工变更是否需要两人批准。",
    ),
    "help.dual_control.on": ("Demand two approvals from now on.", "从现在起要求两人批准。"),
    "help.dual_control.off": (
        "Demand none any more; this itself needs two approvals.",
        "不再要求批准；此操作本身需要两人批准。",
    ),
    "help.dual_control.status": ("Say how the installation is governed.", "显示当前的管控方式。"),
    # --- answers ---
    "staff.created": ("Created the staff member {name}: {roles}.", "已创建员工 {name}：{roles}。"),
    "staff.machine": ("(owner of the machine)", "（本机所有者）"),
    "staff.enabled": ("enabled", "启用"),
    "staff.disabled": ("disabled", "停用"),
    "role.operator": ("operator", "运维"),
    "role.approver": ("approver", "审批"),
    "role.auditor": ("auditor", "审计"),
    "request.approved": (
        "Your approval counts: {have} of {need}. Whoever asked may give the command again.",
        "您的批准已生效：{have}/{need}。请求人现在可以重新执行该命令。",
    ),
    "request.approved.destroy": (
        "Your approval counts: {have} of {need}. The order goes on by itself: postkeep order list",
        "您的批准已生效：{have}/{need}。指令将自动继续执行：postkeep order list",
    ),
    "request.approval_counted": (
        "Your approval counts: {have} of {need}.",
        "您的批准已生效：{have}/{need}。",
    ),
    "request.declined": ("The request is declined.", "请求已被否决。"),
    "request.withdrawn": ("The request is withdrawn.", "请求已撤回。"),
    "request.line.what": ("what       {kind}: {summary}", "内容    {kind}：{summary}"),
    "request.line.about": ("about      {about}", "对象    {about}"),
    "request.line.digest": ("exactly    sha256 {digest}", "摘要    sha256 {digest}"),
    "request.line.asked": ("asked by   {name}, {at}", "请求人  {name}，{at}"),
    "request.line.state": ("state      {state}, until {until}", "状态    {state}，截止 {until}"),
    "request.line.approvals": ("approvals  {have} of {need}", "批准    {have}/{need}"),
    "request.vote.approve": ("approved   {name}, {at} {reason}", "批准人  {name}，{at} {reason}"),
    "request.vote.decline": ("declined   {name}, {at} {reason}", "否决人  {name}，{at} {reason}"),
    "request.vote.void": (
        "(does not count: not an approver in good standing)",
        "（无效：目前不是有效的审批人）",
    ),
    "kind.destroy": ("destroy", "销毁"),
    "kind.export": ("export", "导出"),
    "kind.custody": ("change custody of keys", "更改密钥托管"),
    "kind.key_restore": ("use a restored key store", "使用恢复的密钥库"),
    "kind.dual_control": ("dual control", "双人控制"),
    "kind.staff": ("staff", "员工"),
    "request.state.open": ("open", "待批准"),
    "request.state.approved": ("approved", "已批准"),
    "request.state.granted": ("being carried out", "执行中"),
    "request.state.closed": ("carried out", "已执行"),
    "request.state.declined": ("declined", "已否决"),
    "request.state.withdrawn": ("withdrawn", "已撤回"),
    "request.state.expired": ("expired", "已过期"),
    "about.installation": ("the installation", "整个系统"),
    "dual_control.on": (
        "Dual control is on since {since}: {needed} approvals needed, {approvers} approvers can give them.",
        "双人控制自 {since} 起已开启：需要 {needed} 人批准；现有 {approvers} 名可用审批人。",
    ),
    "dual_control.off": (
        (
            "Dual control is off: one operator can destroy and change custody of keys alone. "
            "{approvers} approvers could approve."
        ),
        "双人控制未开启：一名运维人员即可单独销毁数据、更改密钥托管。现有 {approvers} 名可用审批人。",
    ),
    # --- columns ---
    "col.roles": ("roles", "角色"),
    "col.kind_of_act": ("act", "操作"),
    "col.about": ("about", "对象"),
    "col.asked_by": ("asked by", "请求人"),
    "col.approvals": ("approvals", "批准"),
    "col.until": ("until", "截止"),
    # --- errors ---
    "ask.staff_password": ("Password of {name}: ", "{name} 的密码："),
    "error.staff_password_file": (
        "{path} must be a file of yours that nobody else can read (mode 0600).",
        "{path} 必须是您自己的文件，且他人不可读（权限 0600）。",
    ),
    "error.staff_password": (
        "The name or the password is wrong, or the account is disabled.",
        "姓名或密码错误，或账户已停用。",
    ),
    "error.no_staff_password": (
        (
            "No terminal to ask on: put --password-stdin before the command, or name a file in "
            "POSTKEEP_STAFF_PASSWORD_FILE."
        ),
        "没有终端可供输入：请在命令前写 --password-stdin，或用 POSTKEEP_STAFF_PASSWORD_FILE 指定文件。",
    ),
    "error.as_missing": (
        "--password-stdin before the command goes with --as.",
        "命令前的 --password-stdin 须与 --as 一起使用。",
    ),
    "code.approval_needed": (
        (
            "Other people must approve this first. The request is {request}. "
            "An approver says: postkeep --as NAME approve {request}. A destruction then goes on by itself; "
            "any other command is to be given again."
        ),
        (
            "此操作须先由他人批准。请求编号：{request}。"
            "审批人执行：postkeep --as 姓名 approve {request}。批准后销毁指令会自动继续；"
            "其他命令请重新执行。"
        ),
    ),
    "error.no_vote": (
        "The machine's operator has no vote. An approver says who it is: postkeep --as NAME approve REQUEST",
        "本机运维人员没有表决权。审批人请表明身份：postkeep --as 姓名 approve 请求编号",
    ),
    "code.refused.approvers": (
        "Dual control needs two approvers beside you who have signed in once, and two must stay.",
        "双人控制需要除您之外至少两名曾登录过的审批人，并且必须始终保留两名。",
    ),
    "code.refused.request_own": (
        "Nobody decides on a request of their own.",
        "不能对自己的请求作出决定。",
    ),
    "code.refused.request_about_you": (
        "Nobody decides on a request that is about themselves.",
        "不能对涉及自己的请求作出决定。",
    ),
    "code.refused.request_not_approver": (
        "Only an enabled approver decides on requests.",
        "只有有效的审批人可以决定请求。",
    ),
    "code.refused.request_voted": (
        "You have decided on this request already.",
        "您已对该请求作出过决定。",
    ),
    "code.refused.request_votes": (
        "The request has too many votes. Withdraw it and ask again.",
        "该请求的表决过多，请撤回后重新提出。",
    ),
    "code.refused.request_begun": (
        "It is too late: the act has begun.",
        "为时已晚：操作已经开始。",
    ),
    "code.refused.request_not_yours": (
        "Only who made a request can withdraw it.",
        "只有请求人可以撤回请求。",
    ),
    "code.refused.request_ended": (
        "The request is over: declined, withdrawn, carried out or out of time.",
        "该请求已结束：已否决、已撤回、已执行或已过期。",
    ),
}
