"""Backups: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.backup": ("Backups: make, check and restore them.", "备份：创建、验证和恢复。"),
    "help.backup.create": (
        "Make a backup of the running node; only what is new is sent.",
        "备份运行中的节点；只传输新增内容。",
    ),
    "help.backup.full": ("Send everything again, whatever the target has.", "重新传输全部内容。"),
    "help.backup.rekey": (
        "Make a backup under a new weekly key, and destroy the older keys at once.",
        "以新的周密钥备份，并立即销毁旧密钥。",
    ),
    "help.backup.status": ("Say how the last or present job does.", "显示最近或当前任务的状态。"),
    "backup.told": (
        "What was destroyed is told to the target up to {time} UTC.",
        "截至 {time} UTC 的销毁记录已送达目标。",
    ),
    "backup.state.none": ("nothing done since the start", "启动以来无任务"),
    "backup.state.running": (
        "{act}{id}: under way for {seconds} s, {step}, {total} looked at.",
        "{act}{id}：进行中，已用 {seconds} 秒，{step}，已检查 {total}。",
    ),
    "backup.state.done": ("{act}{id}: done in {seconds} s.", "{act}{id}：完成，用时 {seconds} 秒。"),
    "backup.state.failed": (
        "{act}{id}: failed after {seconds} s. {why}",
        "{act}{id}：{seconds} 秒后失败。{why}",
    ),
    "backup.act.create": ("Backup", "备份"),
    "backup.act.rekey": ("Backup under a new weekly key", "以新的周密钥备份"),
    "backup.act.prune": ("Removing old backups", "清理旧备份"),
    "help.backup.prune": ("Remove old backups, and what only they needed.", "删除旧备份及其独占的内容。"),
    "help.backup.keep": (
        "How many of the newest stay (default: as configured).",
        "保留最新备份的数量（默认按配置）。",
    ),
    "help.backup.list": ("List the backups of a target.", "列出目标中的备份。"),
    "help.backup.from": (
        "The target: a directory or s3://bucket/prefix (default: as configured).",
        "备份目标：目录或 s3://bucket/prefix（默认按配置）。",
    ),
    "help.backup.id": ("Which backup (default: the newest).", "选择备份（默认最新）。"),
    "help.backup.verify": (
        "Open every object and random messages of a backup, end to end; nothing is shown.",
        "逐一打开备份对象，并随机抽取邮件端到端验证；不显示内容。",
    ),
    "help.backup.samples": ("How many messages are opened.", "抽样邮件数量。"),
    "help.backup.root_key": (
        "Your copy of the root key, where it lay in a file (no backup holds it).",
        "根密钥文件的副本（适用于以文件保存根密钥的节点；备份中不含此文件）。",
    ),
    "help.backup.restore": (
        "Restore a node into a new directory; what was destroyed since is destroyed again.",
        "将节点恢复到新目录；此后已销毁的内容会再次销毁。",
    ),
    "help.backup.to": (
        "The moment to restore to, as 2026-11-24T06:00:00Z; there must be a backup before and one after it.",
        "恢复到的时间点，如 2026-11-24T06:00:00Z；其前后须各有一份备份。",
    ),
    "help.backup.accept_missing": (
        "Restore although the list of what was destroyed is not whole: some of it may come back.",
        "即使销毁记录不完整也恢复：部分已销毁内容可能重现。",
    ),
    "error.no_backup_target": (
        "Name the target with --from, or set target in the section [backup] of postkeep.toml.",
        "请用 --from 指定目标，或在 postkeep.toml 的 [backup] 中设置 target。",
    ),
    "error.backup_from": (
        "Name the target to restore from with --from.",
        "请用 --from 指定恢复来源。",
    ),
    "error.no_config": ("There is no configuration {path}.", "配置文件 {path} 不存在。"),
    "error.backup_both": (
        "Give --id or --to, not both.",
        "--id 与 --to 只能使用其一。",
    ),
    "error.backup_time": (
        "{given} is not a moment; write it as 2026-11-24T06:00:00Z.",
        "{given} 不是有效时间；格式如 2026-11-24T06:00:00Z。",
    ),
    "backup.created": (
        "Backup {id}: {total} looked at, {shipped} in {objects} new objects sent, {seconds} s.",
        "备份 {id}：检查 {total}，新传输 {objects} 个对象共 {shipped}，用时 {seconds} 秒。",
    ),
    "backup.created_full": (
        (
            "Backup {id}, the first of this node or a full one: {total} looked at, {shipped} in {objects} "
            "objects sent, {seconds} s."
        ),
        "备份 {id}（首次或完整备份）：检查 {total}，传输 {objects} 个对象共 {shipped}，用时 {seconds} 秒。",
    ),
    "backup.rekeyed": (
        "Backup {id} is under a new weekly key. Older weekly keys destroyed: {count}.",
        "备份 {id} 使用新的周密钥；已销毁 {count} 个旧周密钥。",
    ),
    "backup.pruned": ("{count} objects removed.", "已删除 {count} 个对象。"),
    "backup.failed": ("The backup has failed: {why}", "备份失败：{why}"),
    "backup.no_keys": ("keys destroyed", "密钥已销毁"),
    "backup.step.begin": ("begin", "开始"),
    "backup.step.database": ("database", "数据库"),
    "backup.step.packs": ("bodies", "正文"),
    "backup.step.wraps": ("message keys", "邮件密钥"),
    "backup.step.keys": ("keys", "密钥"),
    "backup.step.ledger": ("ledger", "账本"),
    "backup.step.log": ("database log", "数据库日志"),
    "backup.step.prune": ("removing", "清理"),
    "backup.step.weeks": ("old keys", "旧密钥"),
    "backup.step.done": ("done", "完成"),
    "col.backup": ("backup", "备份"),
    "col.finished": ("finished (UTC)", "完成时间 (UTC)"),
    "col.keys_until": ("keys until (UTC)", "密钥保留至 (UTC)"),
    "verify.backup": ("Backup {id}, finished {time} UTC.", "备份 {id}，完成于 {time} UTC。"),
    "verify.objects": ("{count} objects opened and compared.", "已打开并核对 {count} 个对象。"),
    "verify.samples": (
        (
            "Of {messages} messages, random ones tried end to end: {opened} opened, {erased} destroyed "
            "since (as it should be), {failed} failed."
        ),
        "共 {messages} 封邮件，随机抽样端到端验证：打开 {opened}，已销毁 {erased}（正常），失败 {failed}。",
    ),
    "verify.company_holds": (
        (
            "{count} more can't be opened here: their company holds the key, and its custodian does not "
            "answer, refuses, or is not named under [custody]. Nothing is proved of these."
        ),
        (
            "另有 {count} 封无法在此打开：密钥由所属公司持有，其密钥托管方未响应、拒绝或未在 [custody] 中"
            "列出。这些邮件未经验证。"
        ),
    ),
    "verify.keys_until": (
        "Its key stream ends at {time} UTC; restored later, it takes its keys from a newer backup.",
        "其密钥流保留至 {time} UTC；此后恢复将使用较新备份的密钥。",
    ),
    "verify.no_keys": (
        "Its key stream has ended, so no message was opened; verify a newer backup too.",
        "其密钥流已到期，未打开邮件；请同时验证较新的备份。",
    ),
    "verify.destroyed_until": (
        "What has been destroyed is known up to {time} UTC.",
        "销毁记录截至 {time} UTC。",
    ),
    "verify.versions": (
        (
            "WARNING: the target keeps versions of overwritten objects: weekly keys can't be destroyed "
            "there. Suspend versioning for this bucket, and delete the old versions."
        ),
        "警告：该目标保留旧版本，周密钥无法真正销毁。请暂停此存储桶的版本控制并删除旧版本。",
    ),
    "verify.good": ("The backup is good.", "备份完好。"),
    "verify.none_opened": (
        "The objects are good. No message was opened: that keys and bodies fit together is not shown.",
        "各对象完好。未打开任何邮件，尚不能证明密钥与正文相符。",
    ),
    "verify.bad": ("The backup is NOT good:", "备份有问题："),
    "reading.step.keys": ("keys …", "密钥……"),
    "reading.step.database": ("database …", "数据库……"),
    "reading.step.packs": ("bodies …", "正文……"),
    "reading.step.ledger": ("ledger …", "账本……"),
    "reading.step.log": ("replaying the database's log …", "重放数据库日志……"),
    "reading.step.replay": (
        "destroying again what was destroyed since …",
        "再次销毁此后已销毁的内容……",
    ),
    "reading.step.objects": ("opening every object …", "逐一打开对象……"),
    "reading.step.samples": (
        "restoring the database aside, and opening random messages …",
        "在旁恢复数据库并抽样打开邮件……",
    ),
    "reading.step.done": ("done", "完成"),
    "restore.done": (
        "Backup {id} is restored to {data}; its rows are of {time} UTC.",
        "备份 {id} 已恢复到 {data}；数据时间点为 {time} UTC。",
    ),
    "restore.again": (
        "{messages} messages and {accounts} accounts that were destroyed since are destroyed again.",
        "此后已销毁的 {messages} 封邮件和 {accounts} 个账户已再次销毁。",
    ),
    "restore.until": (
        "What was destroyed after {time} UTC is not known here.",
        "{time} UTC 之后的销毁记录未知。",
    ),
    "restore.missing": (
        "WARNING: the list of what was destroyed is not whole ({why}): some of it may have come back.",
        "警告：销毁记录不完整（{why}）：部分已销毁内容可能重现。",
    ),
    "restore.other_keys": (
        "Its own key stream has ended; the keys are from backup {id}.",
        "其密钥流已到期；密钥取自备份 {id}。",
    ),
    "restore.rotated": (
        "The root key has been rotated since: the keys of this backup are under today's root key now.",
        "此备份之后根密钥已轮换：备份中的密钥现已改由当前根密钥保护。",
    ),
    "restore.next": (
        (
            "Look at {data}/postkeep.toml (places of data, TLS and backups are not taken over), then: "
            "postkeep serve --data {data}"
        ),
        (
            "请检查 {data}/postkeep.toml（数据位置、TLS 和备份设置未沿用），"
            "然后运行：postkeep serve --data {data}"
        ),
    ),
    # --- errors, by their codes: in English the error's own words are shown ---
    "code.not_empty": (
        "The directory is not empty: a backup is restored into a new one.",
        "目录非空：备份只能恢复到新目录。",
    ),
    "code.no_backups": ("There are no backups at this place.", "此处没有备份。"),
    "code.no_such_backup": (
        "There is no such backup here that can be read.",
        "此处没有该备份，或无法读取。",
    ),
    "code.no_point": (
        "The backups do not reach this moment: one must be before it, and one after.",
        "备份未覆盖该时间点：其前后须各有一份备份。",
    ),
    "code.no_keys": (
        "No key stream that fits this backup can be opened any more: it can't be restored.",
        "适用于此备份的密钥流均已到期：无法恢复。",
    ),
    "code.backup_root": (
        "These backups are not of this root key, or it was rotated since and their key stream has ended.",
        "这些备份不属于此根密钥，或此后根密钥已轮换且其密钥流已到期。请改用较新的备份。",
    ),
    "code.backup_signature": (
        "Not signed by this installation, so it has been changed.",
        "签名不属于本系统，内容已被更改。",
    ),
    "code.tombstones": (
        "The list of what has been destroyed is not whole (to go on: --accept-missing-tombstones).",
        "销毁记录不完整，已销毁的内容可能重现。如仍要恢复：--accept-missing-tombstones。",
    ),
    "code.backup_wal": (
        "The database's log is not whole, or is not handed over; look at the node's log.",
        "数据库日志不完整或未能取得，请查看节点日志。",
    ),
    "code.backup_database": (
        "The database can't be copied, or the copy does not start; look at the node's log.",
        "无法复制数据库，或其副本无法启动，请查看节点日志。",
    ),
    "code.backup_object": (
        "The backup is not whole or damaged: an object is missing or does not open.",
        "备份不完整或已损坏：有对象缺失或无法打开。请运行 postkeep backup verify。",
    ),
    "code.backup_target": (
        "The target can't be used, or is none: a directory, or s3://bucket/prefix.",
        "备份目标无法使用或格式有误：应为目录或 s3://bucket/prefix。",
    ),
    "code.backup_credentials": (
        "The target refuses these credentials, or their file is none.",
        "备份目标拒绝此凭据，或凭据文件有误。",
    ),
    "code.backup_versions": (
        "The bucket keeps versions, so weekly keys can't be destroyed in it.",
        "该存储桶保留旧版本，周密钥无法真正销毁。请暂停版本控制、删除旧版本后重试，或更换备份目标。",
    ),
    "code.backup_busy": (
        "A backup or its like is under way; look at its status.",
        "已有备份任务在进行，请查看其状态：postkeep backup status。",
    ),
    "code.backup_keep": ("Say how many backups are to stay: --keep 14.", "请指定保留数量：--keep 14。"),
    "code.no_backup_target": (
        "No target is configured: set target in the section [backup] of postkeep.toml, and restart.",
        "未配置备份目标：请在 postkeep.toml 的 [backup] 中设置 target，然后重启。",
    ),
    "code.root_key_file": (
        "The file given with --root-key can't be read, or is no copy of a root key.",
        "--root-key 指定的文件无法读取，或不是根密钥的副本。",
    ),
    "code.root_key_needed": (
        "The root key of this node lay in a file, in no backup: give your copy of it with --root-key.",
        "该节点的根密钥保存在文件中，不在备份内：请用 --root-key FILE 提供其副本。",
    ),
}
