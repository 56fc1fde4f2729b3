"""Access tokens: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.token": (
        "Access tokens: what a program signs in with by OAUTHBEARER or XOAUTH2.",
        "访问令牌：程序通过 OAUTHBEARER 或 XOAUTH2 登录所用。",
    ),
    "help.token.create": (
        "Create an access token and show it, this once.",
        "创建访问令牌并仅显示一次。",
    ),
    "help.token.days": ("How many days it is good.", "有效天数。"),
    "help.token.list": ("List access tokens, with the last use of each.", "列出访问令牌及其最近使用时间。"),
    "help.token.delete": (
        "Void an access token; the sessions opened with it end.",
        "作废访问令牌；用它打开的会话随即结束。",
    ),
    "token.created": (
        "The token is shown this once, and good until {until}: {token}",
        "令牌仅显示一次，有效期至 {until}：{token}",
    ),
}
