"""Witnesses of the ledger: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.witness": (
        "Others that sign the ledger's heads: the witness's own program, and what a node's witnesses say.",
        "见证方：对账本头部签名的第三方；包含见证方自身的程序，以及查询本节点各见证方的状态。",
    ),
    "help.witness.init": (
        "Make a witness: its keys, in a directory of its own.",
        "创建见证方：在独立目录中生成密钥。",
    ),
    "help.witness.sealed": (
        "Seal the keys with a passphrase, which is asked for now and whenever the witness starts.",
        "用口令密封密钥：现在及每次启动见证方时都会询问口令。",
    ),
    "help.witness.passphrase_file": (
        "The passphrase is the first line of this file, which is yours and which nobody else can read.",
        "口令取自该文件首行；文件须归当前用户所有，且他人不可读。",
    ),
    "help.witness.passphrase_stdin": (
        "The passphrase is the first line of standard input, as a systemd credential.",
        "口令取自标准输入首行，例如 systemd 凭据。",
    ),
    "ask.witness_passphrase": ("Passphrase of the witness: ", "见证方口令："),
    "help.witness.name": (
        "Its name, like a URL without https://, as witness.example/w1.",
        "见证方名称，形如不带 https:// 的网址，例如 witness.example/w1。",
    ),
    "help.witness.serve": ("Run the witness in the foreground.", "在前台运行见证方。"),
    "help.witness.listen": ("Where it listens; port 0: any free one.", "监听地址；端口 0 表示任选空闲端口。"),
    "help.witness.key": (
        "Print the witness's public keys, for nodes and verifiers (one line each).",
        "打印见证方公钥，供节点和核验者使用（每行一个）。",
    ),
    "help.witness.log": ("Logs that the witness signs for.", "见证方为之签名的日志。"),
    "help.witness.log.add": (
        "Sign for a log from now on; its keys as `postkeep ledger key` prints them.",
        "开始为某个日志签名；密钥取自 postkeep ledger key 的输出。",
    ),
    "help.witness.log.keys": ("The log's keys: name+id+base64.", "日志的密钥：名称+标识+base64。"),
    "help.witness.log.list": ("List the logs and how far each was signed.", "列出日志及已签名到何处。"),
    "help.witness.status": (
        "Show what the witnesses say of this node's ledger.",
        "显示各见证方对本节点账本的结论。",
    ),
    "witness.made": (
        "Made the witness {name}. Its keys, for nodes and verifiers:",
        "已创建见证方 {name}。其公钥（供节点和核验者使用）：",
    ),
    "witness.log_added": ("Signs for {origin} from now on.", "自现在起为 {origin} 签名。"),
    "witness.serving": (
        "The witness {name} answers at {url}add-checkpoint",
        "见证方 {name} 的服务地址：{url}add-checkpoint",
    ),
    "witness.none": (
        "No witness is configured. Add [[ledger.witnesses]] with url and keys to postkeep.toml.",
        "未配置见证方。请在 postkeep.toml 中添加 [[ledger.witnesses]]，给出 url 和 keys。",
    ),
    "witness.conflict": (
        (
            "{name} has signed {size} entries of a history that this ledger does not have, and never signs "
            "for it again. Was the ledger restored, and accepted (postkeep ledger accept-restored)? Then ask "
            "its people for a new witness: docs/runbooks/restore.md. Otherwise treat it as a break-in: "
            "docs/runbooks/witness.md."
        ),
        (
            "{name} 已为一段本账本所没有的历史签名至 {size} 个条目，不会再为本账本签名。"
            "如果账本是恢复而来并已被接受（postkeep ledger accept-restored），请其运营方新建见证方："
            "docs/runbooks/restore.md。否则请按入侵处理：docs/runbooks/witness.md。"
        ),
    ),
    "error.listen": (
        "Give an address and a port, as 127.0.0.1:2600.",
        "请给出地址和端口，例如 127.0.0.1:2600。",
    ),
    "error.log_keys": ("All keys of a log bear its name.", "同一日志的所有密钥名称须相同。"),
    "col.origin": ("log", "日志"),
    "col.signed": ("signed up to", "已签名至"),
    "col.forks": ("forks seen", "发现的分叉"),
    "col.witness": ("witness", "见证方"),
    "col.since": ("last signed", "最近签名"),
    "witness.state.waiting": ("not signed yet", "尚未签名"),
    "witness.state.ok": ("signs", "正常签名"),
    "witness.state.silent": ("does not answer", "无应答"),
    "witness.state.refused": ("does not know this log or its keys", "不认识本日志或其密钥"),
    "witness.state.bad": ("answers with signatures that are not its own", "返回的签名不属于它"),
    "witness.state.conflict": (
        "HAS SEEN ANOTHER HISTORY OF THIS LEDGER",
        "见过本账本的另一段历史（分叉或回退）",
    ),
}
