"""The words of a certificate on paper: key, then English and Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Certificate of Destruction", "数据销毁证明"),
    "lead": (
        (
            "The keys of the data named below were destroyed, and the raw files of this installation were"
            " searched for them afterwards. Identifiers stand for persons and companies."
        ),
        "下列数据的密钥已被销毁，此后已在本系统的原始文件中对其进行查找。文中以标识符代表个人与公司。",
    ),
    "lead.backup": (
        (
            "The backup named below was removed from its place, and its keys where no other backup needs"
            " them. The live data of this installation is not part of it."
        ),
        "下列备份已从存放处移除；其密钥若无其他备份使用，也已一并销毁。本系统的在线数据不在其内。",
    ),
    "what": ("What was destroyed", "销毁对象"),
    "number": ("Number", "证明编号"),
    "installation": ("Installation", "系统"),
    "unit": ("Unit", "对象类型"),
    "unit.message": ("messages", "邮件"),
    "unit.mailbox": ("a mailbox", "邮箱文件夹"),
    "unit.person": ("a person with all mail and keys", "用户及其全部邮件和密钥"),
    "unit.category": ("a category of data", "某类数据"),
    "unit.tenant": ("a company with all it had", "公司及其全部数据"),
    "unit.backup": ("a backup", "备份"),
    "tenant": ("Company", "公司"),
    "principal": ("Person", "用户"),
    "mailbox": ("Mailbox", "文件夹"),
    "uids": ("Messages (UID)", "邮件（UID）"),
    "category": ("Category", "类别"),
    "backup": ("Backup", "备份"),
    "reason": ("Reason given", "原因"),
    "requested_by": ("Requested by", "请求人"),
    "request": ("Approval", "批准编号"),
    "messages": ("Messages destroyed", "已销毁邮件"),
    "keys": ("Keys destroyed", "已销毁密钥"),
    "room": ("Storage", "存储空间"),
    "room.given_back": ("rewritten at once", "已立即重写"),
    "room.by_upkeep": ("rewritten by regular upkeep", "由日常维护重写"),
    "steps": ("Steps", "步骤"),
    "step.requested": ("Requested", "已请求"),
    "step.cleared": ("No legal hold", "无法律保留"),
    "step.approved": ("Approved", "已批准"),
    "step.deleted": ("Deleted", "已删除"),
    "step.destroyed": ("Keys destroyed", "密钥已销毁"),
    "step.purged": ("Stores purged", "存储已清除"),
    "step.unbacked": ("Backups cleared", "备份已清除"),
    "step.verified": ("Verified", "已核实"),
    "search": ("Search of the raw files", "原始文件查找"),
    "result": ("Result", "结果"),
    "found.nothing": ("Nothing was found.", "未发现。"),
    "sought": ("Secrets looked for", "查找的密钥"),
    "sought.of": ("{sought} (of {all} destroyed)", "{sought}（共销毁 {all}）"),
    "control": ("Control", "对照"),
    "control.yes": (
        "found, so the search would have found them",
        "已找到，证明查找有效",
    ),
    "control.no": ("NOT FOUND", "未找到"),
    "directories": ("Where", "范围"),
    "extent": ("How much", "数量"),
    "extent.of": ("{files:,} files, {octets:,} octets", "{files:,} 个文件，{octets:,} 字节"),
    "time": ("When", "时间"),
    "page": ("page {page}", "第 {page} 页"),
    "proof": ("How to check it", "如何验证"),
    "digest": ("SHA-256 of the JSON", "JSON 的 SHA-256"),
    "ledger": ("Entry in the ledger", "账本记录"),
    "checkpoint": ("Checkpoint (size / root)", "检查点（大小 / 根）"),
    "signatures": ("Signatures", "签名"),
    "check": ("Command", "命令"),
    "limits": ("What it does not say", "本证明不包含的内容"),
    "limit.copy_on_write": (
        (
            "Overwriting in place reaches blocks that the file system writes in place. A file system or store"
            " that copies on write, its snapshots, and the spare cells of flash drives are beyond it."
        ),
        "原位覆盖只作用于文件系统原位写入的块；写时复制的文件系统或存储、其快照以及闪存的备用单元不在其内。",
    ),
    "limit.foreign_copies": (
        "What was searched is what these directories held then. Copies that others made are not known here.",
        "查找范围为当时所列目录中的内容；他人另行制作的副本不在已知范围内。",
    ),
}
