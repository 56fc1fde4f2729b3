"""The owner's view of the ledger: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.ledger.key_show": (
        "Print the ledger's public keys, for verifiers elsewhere (one line each: name+id+key).",
        "打印账本的公钥，供外部验证者使用（每行一个：名称+标识+密钥）。",
    ),
    "help.ledger.export": (
        "Write one tenant's own log into a new directory, for the tenant to keep and to verify.",
        "将某个租户自己的账本导出到新目录，供该租户保存和验证。",
    ),
    "help.ledger.tenant": (
        "The tenant: one of its domains, or its identifier (then no node needs to run).",
        "租户：其任一域名，或其标识（用标识时无需运行节点）。",
    ),
    "ledger.exported": (
        "Written: {entries} entries in {path}. Check them with: postkeep ledger verify --offline {path}",
        "已写入 {entries} 条记录到 {path}。验证命令：postkeep ledger verify --offline {path}",
    ),
    "ledger.tenant_bad": ("Log of tenant {tenant}: {finding}", "租户 {tenant} 的账本：{finding}"),
    "ledger.tenants_good": (
        "The logs of {count} tenants agree with it.",
        "{count} 个租户的账本与之相符。",
    ),
    "ledger.silent": (
        "{source} stopped without a farewell: entry {index} is the last that was heard of it.",
        "{source} 未告别即停止：最后一条记录是 {index}。",
    ),
    "ledger.silent_more": (
        "… and {count} more that stopped without a farewell.",
        "……另有 {count} 个未告别即停止。",
    ),
    "error.no_tenant_log": (
        "There is no signed log of {tenant} yet: it is signed within a minute of the first entry.",
        "{tenant} 还没有已签名的账本：首条记录后一分钟内会签名。",
    ),
    "error.not_written": (
        "{path} can't be written; give a directory that does not exist yet.",
        "无法写入 {path}；请指定一个尚不存在的目录。",
    ),
    "error.no_checkpoint": (
        "The ledger has no signed checkpoint yet: start the node once and try again.",
        "账本还没有签名的检查点：请先启动一次节点再试。",
    ),
}
