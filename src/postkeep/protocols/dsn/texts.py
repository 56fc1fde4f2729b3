"""Every sentence a report says to people, in each language we write, side by side."""

from typing import Final, NamedTuple

from postkeep.protocols.dsn.report import Action


class Text(NamedTuple):
    """One thing to say, in English and in Chinese (zh-CN)."""

    en: str
    zh: str


SUBJECTS: Final = {
    Action.FAILED: Text("Your message could not be delivered", "邮件未能送达"),
    Action.DELAYED: Text("Your message is delayed", "邮件投递延迟"),
    Action.DELIVERED: Text("Your message was delivered", "邮件已送达"),
    Action.RELAYED: Text("Your message was passed on", "邮件已转交"),
}
OPENINGS: Final = {
    Action.FAILED: Text(
        "Your message could not be delivered to the recipients below. It will not be tried again.",
        "您的邮件未能送达以下收件人,系统不会再次尝试。",
    ),
    Action.DELAYED: Text(
        "Your message has not reached the recipients below yet. It is still being tried; you need not "
        "send it again.",
        "您的邮件尚未送达以下收件人。系统仍在尝试投递,您无需重新发送。",
    ),
    Action.DELIVERED: Text(
        "Your message was delivered to the recipients below.",
        "您的邮件已送达以下收件人。",
    ),
    Action.RELAYED: Text(
        "Your message was passed on to the servers of the recipients below, which will not report "
        "any further.",
        "您的邮件已转交给以下收件人的服务器,对方服务器不会再发送进一步的通知。",
    ),
}
ANSWERED: Final = Text("The server {remote} answered: {diagnostic}", "服务器 {remote} 的答复:{diagnostic}")
UNTIL: Final = Text("We keep trying until {date}.", "系统将持续尝试至 {date}。")
RETURNED: Final = Text(
    "The message, or its header, is attached.",
    "原邮件或其邮件头见附件。",
)
SENDER_NAME: Final = "Mail Delivery System"

# By the subject and detail of an enhanced status code (RFC 3463), the more exact one first.
REASONS: Final = {
    "1.1": Text("There is no such address.", "该地址不存在。"),
    "1.2": Text("The domain does not exist or takes no mail.", "该域名不存在或不接收邮件。"),
    "1.10": Text("The domain takes no mail.", "该域名不接收邮件。"),
    "2.1": Text("The mailbox takes no mail at the moment.", "该邮箱目前不接收邮件。"),
    "2.2": Text("The mailbox is full.", "该邮箱已满。"),
    "2.3": Text("The message is too large for this recipient.", "邮件大小超出收件人的限制。"),
    "3.4": Text("The message is too large for the server.", "邮件大小超出服务器的限制。"),
    "4.1": Text("The server does not answer.", "对方服务器没有响应。"),
    "4.4": Text("No route to the domain's servers was found.", "找不到通往该域名服务器的路由。"),
    "4.6": Text("The mail would go in circles.", "邮件路由形成循环。"),
    "4.7": Text("It could not be delivered in time.", "未能在规定时间内送达。"),
    "6.7": Text(
        "The server does not support international addresses.",
        "对方服务器不支持国际化邮件地址。",
    ),
    "7": Text(
        "The server refused it for reasons of policy or security.", "对方服务器出于策略或安全原因拒收。"
    ),
}
UNKNOWN_REASON: Final = Text("The server gave the reason below.", "原因如下。")


def reason(status: str) -> Text:
    """Return what an enhanced status code means to a person."""
    _, _, detail = status.partition(".")
    return REASONS.get(detail) or REASONS.get(detail.partition(".")[0]) or UNKNOWN_REASON
