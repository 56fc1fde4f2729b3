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
    "access.key.share": ("whom your keys serve was changed", "更改了可使用您密钥的人"),
    "access.share": ("rights on your mailbox were changed", "更改了您邮箱的权限"),
    "key.share": ("keys of a mailbox were shared, or taken back", "共享或收回邮箱密钥"),
    "mail.share": ("rights on a mailbox were changed", "更改邮箱权限"),
}
