"""The owner's view of the ledger: texts, in English and in Chinese."""

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.ledger.key_show": (
        "Print the ledger's public keys, for verifiers elsewhere (one line each: name+id+key).",
        "打印账本的公钥，供外部验证者使用（每行一个：名称+标识+密钥）。",
    ),
    "error.no_checkpoint": (
        "The ledger has no signed checkpoint yet: start the node once and try again.",
        "账本还没有签名的检查点：请先启动一次节点再试。",
    ),
}
