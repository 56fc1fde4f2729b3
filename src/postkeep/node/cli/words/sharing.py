"""Shared mailboxes: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.group.mailbox": (
        "Give a group a mailbox of its own, and one person who manages it: its mail is kept there too.",
        "为群组建立自己的邮箱，并指定一位管理人：发给群组的邮件也会存入该邮箱。",
    ),
    "help.group.manager": (
        "A person of the company who gets all rights on it, and shares it with others.",
        "获得全部权限并可与他人共享该邮箱的公司成员。",
    ),
    "group.mailbox": (
        "{address} has a mailbox. {manager} finds it below Shared/{address} and shares it with others.",
        "{address} 已有邮箱。{manager} 可在 Shared/{address} 下找到它，并与他人共享。",
    ),
    "help.mailbox": (
        "With whom mailboxes are shared: the owner signs in, with the own password.",
        "邮箱与谁共享：由所有者用自己的密码登录。",
    ),
    "help.mailbox.share": (
        "Share ADDRESS's mailboxes with PERSON, a colleague, or change what the colleague may do.",
        "将 ADDRESS 的邮箱共享给同事 PERSON，或更改其权限。",
    ),
    "help.mailbox.unshare": (
        "Take back what PERSON may do with ADDRESS's mailboxes; it is cut at once.",
        "收回 PERSON 对 ADDRESS 邮箱的权限，立即生效。",
    ),
    "help.mailbox.shares": (
        "List with whom ADDRESS's mailboxes are shared.",
        "列出 ADDRESS 的邮箱与谁共享。",
    ),
    "help.mailbox.of": (
        "Act on the mailboxes of this group, which ADDRESS manages.",
        "操作由 ADDRESS 管理的该群组的邮箱。",
    ),
    "help.mailbox.mailbox": (
        "One mailbox: inbox, sent, drafts, trash, junk, archive, or an identifier. Without it: all.",
        "单个邮箱：inbox、sent、drafts、trash、junk、archive 或标识符；不指定则为全部。",
    ),
    "help.mailbox.rights": (
        "Letters: l list, r read, s seen, w mark, i put in, t delete, e expunge, k, x mailboxes, a share on.",
        "权限字母：l 可见，r 阅读，s 已读，w 标记，i 放入，t 删除，e 清除，k/x 建/删邮箱，a 再共享。",
    ),
    "help.mailbox.until": ("The last day on which it holds, as 2027-01-31.", "最后有效日，如 2027-01-31。"),
    "mailbox.shared": (
        "Shared with {person}: {rights}. Last day: {until}.",
        "已共享给 {person}：{rights}。最后一天：{until}。",
    ),
    "mailbox.unshared": ("{person} has no rights there any more.", "{person} 不再拥有该处的权限。"),
    "col.mailbox": ("mailbox", "邮箱"),
    "col.person": ("person", "人员"),
    "col.rights": ("rights", "权限"),
    "mailbox.all": ("(all)", "（全部）"),
    "error.no_colleague": (
        "Nobody in the company has the address {address}.",
        "公司内没有人使用地址 {address}。",
    ),
    "error.no_mailbox": (
        "There is no mailbox {mailbox}. By name there are: {names}; others have identifiers.",
        "没有邮箱 {mailbox}。可用名称：{names}；其他邮箱用标识符。",
    ),
    "access.key.share": ("whom your keys serve was changed", "更改了可使用您密钥的人"),
    "access.share": ("rights on your mailbox were changed", "更改了您邮箱的权限"),
    "key.share": ("keys of a mailbox were shared, or taken back", "共享或收回邮箱密钥"),
    "mail.share": ("rights on a mailbox were changed", "更改邮箱权限"),
}
