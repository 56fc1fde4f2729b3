"""Restored key stores, and ledgers that have lost their end: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.accept": (
        (
            "Use a restored key store. Node stopped: say that an older one is meant; the next start holds "
            "it. Node running: accept what is held (two approvals under dual control)."
        ),
        (
            "使用恢复的密钥库。节点停止时：声明较旧的密钥库是有意恢复的，下次启动将其扣留；"
            "节点运行时：接受被扣留的密钥库（双人控制下需要两人批准）。"
        ),
    ),
    "help.accept.state": (
        "The change that the ledger knows of, as the refused start has said; not needed on a running node.",
        "账本所记录的变更号，即启动被拒绝时显示的数字；节点运行时可省略。",
    ),
    "error.accept_state": (
        (
            "Name the change that the ledger knows of, as the refused start has said: "
            "postkeep key accept-restored N"
        ),
        "请给出账本所记录的变更号，即启动被拒绝时显示的数字：postkeep key accept-restored N",
    ),
    "error.accept_no_store": ("There is no key store in {data}.", "{data} 中没有密钥库。"),
    "accept.noted": (
        (
            "Noted. The next start takes the key store as of change {state} and holds it: no key is given "
            "before that is accepted. Without dual control it is accepted at once; with it, start the node "
            "and say: postkeep key accept-restored"
        ),
        (
            "已记录。下次启动将采用变更号 {state} 处的密钥库并予以扣留：在被接受之前不发放任何密钥。"
            "未开启双人控制时立即接受；已开启时，请启动节点后执行：postkeep key accept-restored"
        ),
    ),
    "accept.done": (
        "Accepted: keys of the store put back at change {was} are given again, counting on from {told}.",
        "已接受：恢复到变更号 {was} 的密钥库重新发放密钥，并从 {told} 继续计数。",
    ),
    "help.ledger.accept": (
        "Go on with a ledger that has lost entries already signed (two approvals under dual control).",
        "在账本丢失已签名条目之后继续使用（双人控制下需要两人批准）。",
    ),
    "ledger.accepted.lost": (
        "Given up: the signed head of {size} entries, root {root}….",
        "已放弃：包含 {size} 个条目的已签名头部，根 {root}…。",
    ),
    "ledger.accepted.shown": (
        "The ledger goes on from {size} entries, root {root}…; both heads are in it.",
        "账本从 {size} 个条目、根 {root}… 继续；两个头部均已记入账本。",
    ),
    "ledger.accepted.witnesses": (
        "Witnesses know only the lost head and refuse this history: see docs/runbooks/restore.md.",
        "见证方只认得已丢失的头部，将拒绝当前历史：见 docs/runbooks/restore.md。",
    ),
    "serve.withheld.restored": (
        "NO KEY IS GIVEN: the key store was restored. Accept it: postkeep key accept-restored",
        "暂不发放任何密钥：密钥库是恢复而来的。接受请执行：postkeep key accept-restored",
    ),
    "serve.withheld.ledger": (
        "NO KEY IS GIVEN: the ledger has lost what was signed of it. See docs/runbooks/restore.md",
        "暂不发放任何密钥：账本丢失了已签名的内容。见 docs/runbooks/restore.md",
    ),
    "code.unavailable.restored": (
        "A restored key store waits: no key is given before it is accepted (postkeep key accept-restored).",
        "有恢复的密钥库等待接受：在此之前不发放任何密钥（postkeep key accept-restored）。",
    ),
    "code.unavailable.ledger": (
        "The ledger does not answer, or its history is broken (postkeep doctor says which).",
        "账本无法使用，或其历史已中断（postkeep doctor 会说明原因）。",
    ),
    "code.not_found.restored": (
        "No restored key store waits: keys are given.",
        "没有等待接受的密钥库：密钥正常发放。",
    ),
    "code.not_found.broken_history": (
        "The ledger extends what was signed of it: there is nothing to accept.",
        "账本与已签名的内容一致：没有需要接受的内容。",
    ),
    "code.invalid.restored": (
        "Another key store waits than the one named. Give the command without a number.",
        "等待接受的密钥库与所给编号不符。请不带编号执行该命令。",
    ),
    "kind.ledger_restore": ("go on with a restored ledger", "继续使用恢复的账本"),
}
