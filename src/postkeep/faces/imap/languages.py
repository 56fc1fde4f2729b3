"""The languages that the IMAP face speaks to people in (RFC 5255); before one is chosen it is English."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from collections.abc import Sequence
from typing import Final

from postkeep.faces.imap.texts import COMPLETED, Text

DEFAULT: Final = "i-default"
"""English for everybody, as RFC 2277 section 4.5 wants it."""
ENGLISH: Final = "en"
CHINESE: Final = "zh-CN"
LANGUAGES: Final = (ENGLISH, CHINESE, DEFAULT)

_CHINESE: Final[dict[str, str]] = {
    Text.TOO_MANY_CONNECTIONS: "连接过多。",
    Text.TOO_MANY_OF_ONE: "您的连接过多。",
    Text.NO_COMPRESSION: "不支持该压缩方式。",
    Text.COMPRESSED_ALREADY: "连接已在压缩。",
    Text.COMPRESS_COMES_LAST: "须等 COMPRESS 得到应答后再发送。",
    Text.STILL_HERE: "仍在线。",
    Text.QUIET_TOO_LONG: "您长时间没有操作。",
    Text.SOME_EXPUNGED: "部分邮件已被清除。",
    Text.ALL_EXPUNGED: "这些邮件已被清除。",
    Text.MAILBOXES_BUSY: "其他人也在更改邮箱，请重试。",
    Text.NAME_UNFIT: "邮箱不能使用此名称。",
    Text.USE_UNFIT: "不能指定该特殊用途。",
    Text.NAME_TAKEN: "已有同名邮箱。",
    Text.USE_TAKEN: "另一个邮箱已有该特殊用途。",
    Text.INBOX_STAYS: "收件箱不能删除。",
    Text.HAS_CHILDREN: "其下还有邮箱。",
    Text.BELOW_ITSELF: "邮箱不能移到自身之下。",
    Text.NO_RIGHT: "您无权对此邮箱执行该操作。",
    Text.NO_SUCH_RIGHT: "权限为 l r s w i p k x t e a，c 和 d 代表其中数项。",
    Text.NO_COLLEAGUE: "邮箱只能按地址共享给本公司的人。",
    Text.OWNERS_RIGHTS: "邮箱所有者的权限不能更改。",
    Text.OTHERS_NAMES: "此名称之下的邮箱属于他人。",
    Text.NO_QUOTA_ROOT: "没有该配额根。",
    Text.QUOTA_FIXED: "配额只能由管理员设置。",
    Text.TOO_MANY_SUBSCRIPTIONS: "对不存在邮箱的订阅过多。",
    Text.ENTRIES_TOO_LARGE: "此邮箱的注释总数过多或总量过大。",
    Text.ENTRY_TOO_LARGE: "注释过大。",
    Text.ENTRY_FIXED: "该注释不能更改。",
    Text.ENTRIES_LONG: "较大的注释已略去。",
    Text.EVENTS_UNKNOWN: "其中部分事件无法识别。",
    Text.TOO_MUCH_NEWS: "新消息过多，请只订阅重要的内容。",
    Text.NO_MAILBOX: "没有该邮箱。",
    Text.ENABLE_QRESYNC: "请先启用 QRESYNC。",
    Text.UIDS_ONLY: "已启用 UIDONLY，请按 UID 指定邮件。",
    Text.UNKNOWN_ENCODING: "该部分的传输编码无法识别。",
    Text.NO_MESSAGE: "没有该编号的邮件。",
    Text.READ_ONLY: "邮箱以只读方式打开。",
    Text.CLOSED: "先前的邮箱已关闭。",
    Text.NOT_SELECTABLE: "该邮箱不能选择。",
    Text.PERMANENT_FLAGS: "这些标志可以更改。",
    Text.FIRST_UNSEEN: "第一封未读邮件。",
    Text.UIDS_VALID: "UID 有效。",
    Text.NEXT_UID: "下一个 UID。",
    Text.MAILBOX_ID: "邮箱自身的标识。",
    Text.CHANGES_COUNTED: "更改已计数。",
    Text.GOING_DOWN: "服务器正在关闭。",
    Text.SIGN_IN_FIRST: "请先登录。",
    Text.SELECT_FIRST: "请先选择邮箱。",
    Text.LITERAL_TOO_LARGE: "文字块过大。",
    Text.LITERALS_TOO_LARGE: "文字块过多或总量过大。",
    Text.NOT_SUPPORTED: "不支持该命令。",
    Text.WRONG_STATE: "当前状态下不允许该命令。",
    Text.TOO_MANY_FAILURES: "失败次数过多。",
    Text.READY: "Postkeep 已就绪。",
    Text.BYE: "再见。",
    Text.TLS_ACTIVE: "TLS 已启用。",
    Text.BEGIN_TLS: "请开始 TLS。",
    Text.NO_MECHANISM: "不支持该机制。",
    Text.WELCOME: "欢迎。",
    Text.NOT_AUTHENTICATED: "地址或密码错误。",
    Text.GIVEN_UP: "已放弃登录。",
    Text.NOT_BASE64: "内容不是 base64。",
    Text.START_TLS_FIRST: "请先启用 TLS。",
    Text.SOME_CHANGED: "其中部分已被更改。",
    Text.MOVED: "已移动。",
    Text.MESSAGE_TOO_LARGE: "邮件过大。",
    Text.REPLACED: "邮件已替换。",
    Text.MESSAGE_EMPTY: "没有邮件内容。",
    Text.BAD_URL: "该 URL 未指向您邮件中的内容。",
    Text.MAILBOX_DELETED: "邮箱已删除。",
    Text.SESSION_OVER: "会话已结束。",
    Text.SESSION_REVOKED: "会话已被终止。",
    Text.IDLE_ENDS_WITH_DONE: "IDLE 以 DONE 结束。",
    Text.STILL_RUNNING: "命令仍在执行。",
    Text.NO_LANGUAGE: "不支持这些语言。",
}
_CHINESE_FAMILIES: Final = {
    "imap_syntax": "命令无效。",
    "imap_charset": "只支持 US-ASCII 和 UTF-8。",
    "imap_stream": "命令过长。",
    "invalid": "请求无效。",
    "not_found": "不存在。",
    "conflict": "已存在，或已被更改。",
    "refused": "不允许此操作。",
    "unavailable": "暂时不可用，请稍后重试。",
    "limit": "超出限制。",
    "over_quota": "超出配额。",
    "throttled": "尝试过于频繁，请稍候。",
    "integrity": "数据损坏。",
}
_CHINESE_INTERNAL: Final = "服务器出错。"


def choose(ranges: Sequence[str]) -> str | None:
    """Return the language of the first range that one of ours fits, cut short from the right until it does
    (RFC 4647 section 3.4); None: none fits."""
    for wanted in ranges:
        if wanted.lower() in {"*", "default"}:
            return DEFAULT
        parts = wanted.lower().split("-")
        while parts:
            prefix = "-".join(parts)
            for language in LANGUAGES:
                if language.lower() == prefix or language.lower().startswith(prefix + "-"):
                    return language
            parts.pop()
    return None


def translate(text: str, language: str, code: str = "") -> str:
    """Return what is said in English in another language; `code` is an error's, for what has no words of its
    own there."""
    if language != CHINESE:
        return text
    known = _CHINESE.get(text)
    if known is not None:
        return known
    if text.endswith(COMPLETED):
        return f"{text.removesuffix(COMPLETED)} 已完成。"
    return _CHINESE_FAMILIES.get(code.partition(".")[0], _CHINESE_INTERNAL) if code else text
