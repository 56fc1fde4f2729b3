"""Root keys, their shares and tokens: texts, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "help.key": ("Keys: how they are sealed, and changing that.", "密钥：封存方式及其更换。"),
    "help.key.show": (
        "Say how the root key is sealed, since when, and who holds shares.",
        "显示根密钥的封存方式、起始时间和份额持有人。",
    ),
    "help.key.reseal": (
        "Seal the root key in another way; the old way no longer opens it.",
        "更换根密钥的封存方式；旧方式随即失效。",
    ),
    "help.key.to": (
        "The new way: file, passphrase, shares, pkcs11.",
        "新的方式：file、passphrase、shares 或 pkcs11。",
    ),
    "help.key.passphrase_fd": (
        "Read the new passphrase from this descriptor.",
        "从该文件描述符读取新口令。",
    ),
    "help.key.ceremony": (
        "Seal the root key by shares: each holder sees one, alone.",
        "用份额封存根密钥：每位持有人单独看到自己的一份。",
    ),
    "help.key.threshold": ("How many shares open the root key.", "打开根密钥所需的份额数。"),
    "help.key.shares": ("How many shares there are, at most 16.", "份额总数，最多 16。"),
    "help.key.holder": (
        "A holder's name, once for each share (otherwise they are asked for).",
        "持有人姓名，每份一次（未给出则逐个询问）。",
    ),
    "help.key.to_directory": (
        "Write the shares to files instead of showing them: for a printing station without a network.",
        "将份额写入文件而不显示：用于不联网的打印台。",
    ),
    "help.key.check_share": (
        "Say whether a share is right and whose it is; opens nothing.",
        "检查一份份额是否正确、属于谁；不会打开任何内容。",
    ),
    "help.shares_fd": (
        "Read the shares from this descriptor, one on a line.",
        "从该文件描述符读取份额，每行一份。",
    ),
    "help.pin_fd": ("Read the token's PIN from this descriptor.", "从该文件描述符读取令牌 PIN。"),
    "ask.pin": ("PIN of the token {token!r}: ", "令牌 {token!r} 的 PIN："),
    "ask.new_passphrase": ("New passphrase of the root key: ", "根密钥的新口令："),
    # --- show ---
    "key.sealed.file": (
        "The root key lies in a file beside the data.",
        "根密钥以文件形式与数据存放在一起。",
    ),
    "key.sealed.passphrase": ("The root key is sealed with a passphrase.", "根密钥由口令封存。"),
    "key.sealed.shares": ("The root key is sealed by shares.", "根密钥由份额封存。"),
    "key.sealed.pkcs11": ("The root key is sealed by a PKCS#11 token.", "根密钥由 PKCS#11 令牌封存。"),
    "key.since": ("Since {since} UTC.", "自 {since} UTC 起。"),
    "key.shares": (
        "Any {threshold} of {count} holders open it:",
        "以下 {count} 位持有人中任意 {threshold} 位可打开：",
    ),
    "key.token": (
        "Token {token!r}, serial number {serial}, key {key_label!r}.",
        "令牌 {token!r}，序列号 {serial}，密钥 {key_label!r}。",
    ),
    "key.development": (
        (
            "That is for development: whoever copies the disk has every key. "
            "Change it: postkeep key reseal --to passphrase"
        ),
        "仅用于开发：复制磁盘者即可得到全部密钥。请更换：postkeep key reseal --to passphrase",
    ),
    "key.changing": (
        "A change to {new} was cut short; the next start of the node settles it.",
        "更换为 {new} 的过程曾被中断；节点下次启动时会自动处理。",
    ),
    "key.resealed": (
        "The root key is sealed by {new} now; what opened it before ({old}) no longer does.",
        "根密钥现由 {new} 封存；原方式（{old}）已失效。",
    ),
    "serve.development": (
        (
            "*** DEVELOPMENT: the root key is in a file beside the data; who has the disk has all mail ***\n"
            "*** Before real use: postkeep key reseal --to passphrase, or postkeep key ceremony        ***"
        ),
        (
            "*** 开发模式：根密钥以文件形式与数据存放在一起，取得磁盘者可读取全部邮件。***\n"
            "*** 正式使用前请执行：postkeep key reseal --to passphrase 或 postkeep key ceremony ***"
        ),
    ),
    # --- the ceremony ---
    "ceremony.begin": (
        (
            "The root key will be sealed by {count} shares, of which any {threshold} open it.\n"
            "Each holder comes to this screen alone, writes 33 words on paper, and takes the paper away.\n"
            "Nobody photographs the screen. Words are shown once."
        ),
        (
            "根密钥将由 {count} 份份额封存，任意 {threshold} 份即可打开。\n"
            "每位持有人单独来到屏幕前，将 33 个单词抄写在纸上并带走。\n"
            "禁止拍摄屏幕。单词只显示一次。"
        ),
    ),
    "ceremony.name": ("Name of holder {number} of {count}: ", "第 {number} 位持有人（共 {count} 位）姓名："),
    "ceremony.alone": (
        "{name}, be alone at this screen, then press Enter for share {number} of {count}. ",
        "{name}，请确认屏幕前只有您一人，然后按回车显示第 {number} 份（共 {count} 份）。",
    ),
    "ceremony.share": (
        "Share {number} of {count}, for {name} alone. Write down all words with their numbers.",
        "第 {number} 份（共 {count} 份），仅供 {name} 查看。请连同编号抄写全部单词。",
    ),
    "ceremony.written": (
        "Check code: {code}   (the last three words are a checksum)\nWhen it is all on paper, press Enter. ",
        "校验码：{code}   （最后三个单词是校验和）\n全部抄写完毕后按回车。",
    ),
    "ceremony.word": ("Word {number}: ", "第 {number} 个单词："),
    "ceremony.again": (
        "That is not the word. Press Enter to see the share again, and compare. ",
        "单词不符。按回车重新显示份额并核对。",
    ),
    "ceremony.end": (
        "All {count} shares are with their holders. Any {threshold} of them open the root key from now on.",
        "{count} 份份额均已交给持有人。此后任意 {threshold} 份即可打开根密钥。",
    ),
    "ceremony.files": (
        (
            "WARNING: the shares lie in clear text in {directory}. Whoever reads them has the root key.\n"
            "Print each for its holder, then destroy the files and the printer's memory."
        ),
        (
            "警告：份额以明文存放在 {directory}。能读取这些文件的人即可打开根密钥。\n"
            "请为每位持有人打印，然后销毁文件并清除打印机内存。"
        ),
    ),
    # --- shares at the start ---
    "shares.needed": (
        "The root key is sealed by {count} shares; {threshold} are needed. Holders: {names}.",
        "根密钥由 {count} 份份额封存，需要 {threshold} 份。持有人：{names}。",
    ),
    "shares.next": (
        "Share {number} of {threshold}: type its 33 words, one or several on a line (four letters suffice).",
        "第 {number} 份（需 {threshold} 份）：输入 33 个单词，每行一个或多个（前四个字母即可）。",
    ),
    "shares.word": ("Word {number}: ", "第 {number} 个单词："),
    "shares.taken": (
        "{name}'s share is right ({number} of {threshold}).",
        "{name} 的份额正确（{number}/{threshold}）。",
    ),
    "shares.right": (
        "This is the share of {name} (number {number}), and it is right. Check code: {code}",
        "这是 {name} 的份额（第 {number} 份），内容正确。校验码：{code}",
    ),
    "shares.whose": (" It seems to be {name}'s (number {number}).", "看来是 {name} 的（第 {number} 份）。"),
    # --- tenants' keys ---
    "help.tenant.custody": (
        "A company's own key over its mail: show it, set it, take it back, ask it now.",
        "公司自持密钥：查看、设置、收回或立即检查。",
    ),
    "help.custody.pkcs11": (
        "The key lies in a token: the path of the PKCS#11 module (allowed under [custody]).",
        "密钥在令牌中：PKCS#11 模块路径（须在 [custody] 中允许）。",
    ),
    "help.custody.token": ("The token's label.", "令牌标签。"),
    "help.custody.transit": (
        "The key lies behind a key server (Vault, OpenBao): its https URL (allowed under [custody]).",
        "密钥在密钥服务器（Vault、OpenBao）上：其 https 地址（须在 [custody] 中允许）。",
    ),
    "help.custody.mount": ("Where the server has its transit engine.", "服务器 transit 引擎的挂载点。"),
    "help.custody.key": ("The key's label or name.", "密钥标签或名称。"),
    "help.custody.secret_file": (
        "A file of mode 0600 with the token's PIN, or the server's access token.",
        "权限为 0600 的文件，内含令牌 PIN 或服务器访问令牌。",
    ),
    "help.custody.ca_file": (
        "The certificate authority of the key server, PEM: no other is believed.",
        "密钥服务器的证书颁发机构（PEM）：只信任它。",
    ),
    "help.custody.back": ("Take the key back under the root key alone.", "收回，仅由根密钥封存。"),
    "help.custody.check": (
        "Ask the company's key now; if it refuses, its mail is unreadable from this moment.",
        "立即询问公司密钥；若被拒绝，其邮件即刻不可读。",
    ),
    "custody.set.pkcs11": (
        "The mail of {domain} can be read only with the company's token from now on.",
        "此后读取 {domain} 的邮件必须有该公司的令牌。",
    ),
    "custody.set.transit": (
        "The mail of {domain} can be read only with the company's key server from now on.",
        "此后读取 {domain} 的邮件必须有该公司的密钥服务器。",
    ),
    "custody.set.root": (
        "The keys of {domain} are under the root key alone again.",
        "{domain} 的密钥已恢复为仅由根密钥封存。",
    ),
    "custody.show.pkcs11": (
        "The company's key {name!r} lies in the token {token!r} ({where}).",
        "公司密钥 {name!r} 在令牌 {token!r} 中（{where}）。",
    ),
    "custody.show.transit": (
        "The company's key {name!r} lies behind {where}.",
        "公司密钥 {name!r} 在 {where}。",
    ),
    "custody.show.root": (
        "The company holds no key of its own.",
        "公司没有自持密钥。",
    ),
    "custody.agrees": ("It opens the company's keys now.", "目前可以打开该公司的密钥。"),
    "code.unavailable.custody": (
        "The company's own key does not open its mail at the moment.",
        "公司自持密钥目前无法打开其邮件。",
    ),
    "error.custody_choice": (
        "Give one of --pkcs11, --transit, --back and --check.",
        "--pkcs11、--transit、--back、--check 只能给出一个。",
    ),
    "error.custody_options": (
        "Needed: --key and --secret-file; with --pkcs11 also --token, with --transit also --ca-file.",
        "需要 --key 和 --secret-file；--pkcs11 另需 --token，--transit 另需 --ca-file。",
    ),
    "error.custody_ca": (
        "The certificate authority can't be read from {path}.",
        "无法从 {path} 读取证书颁发机构。",
    ),
    # --- errors ---
    "error.share.word": (
        "Word {number} is not one of a share's words.",
        "第 {number} 个单词不在份额词表中。",
    ),
    "error.share.length": ("A share has 33 words.", "一份份额有 33 个单词。"),
    "error.share.lines": (
        "Shares come one on a line, at most {limit}; none were given, or too many.",
        "份额每行一份，最多 {limit} 份；没有收到份额，或数量过多。",
    ),
    "error.share.typo": (
        "A word of this share is wrong, or two are swapped: its checksum fails.{whose}",
        "该份额有单词错误或顺序颠倒：校验和不符。{whose}",
    ),
    "error.share.ceremony": (
        "This share is of another ceremony: of another root key, or of an earlier sealing of this one.",
        "该份额属于另一次仪式：对应其他根密钥，或本密钥的早先封存。",
    ),
    "error.share.altered": (
        "This share says it is number {number}, but it is not the one that was given out.{whose}",
        "该份额自称是第 {number} 份，但与发放的不同。{whose}",
    ),
    "error.share.repeated": ("{name}'s share was given twice.", "{name} 的份额被重复提供。"),
    "error.share.too_few": (
        "{number} shares are too few to open the root key. Not heard: {name}.",
        "{number} 份份额不足以打开根密钥。未到：{name}。",
    ),
    "error.share.combination": ("These shares do not belong together.", "这些份额不属于同一组。"),
    "error.share.name": (
        "A holder's name has 1 to {limit} printable characters.",
        "持有人姓名须为 1 到 {limit} 个可打印字符。",
    ),
    "error.share.names": ("Two holders can't have the same name.", "两位持有人不能同名。"),
    "error.no_shares": (
        "No terminal to ask for shares on: use --shares-fd.",
        "没有终端可供输入份额：请使用 --shares-fd。",
    ),
    "error.no_pin": (
        "No terminal to ask for the PIN on: use --pin-fd, or pin_file under [keys.pkcs11].",
        "没有终端可供输入 PIN：请使用 --pin-fd，或在 [keys.pkcs11] 中设置 pin_file。",
    ),
    "error.pin_file": ("The PIN can't be read from {path}: {why}.", "无法从 {path} 读取 PIN：{why}。"),
    "error.pin_file_mode": (
        "{path} may be read by others than its owner; make its mode 0600.",
        "{path} 可被所有者以外的用户读取；请将其权限设为 0600。",
    ),
    "error.terminal_ended": ("The terminal has ended.", "终端已结束。"),
    "error.ceremony_names": (
        "Give --holder once for each of the {count} shares.",
        "请为 {count} 份份额各给出一次 --holder。",
    ),
    "error.ceremony_file": (
        "{path} is there already; shares are never written over. Give an empty directory.",
        "{path} 已存在；份额不会被覆盖。请指定空目录。",
    ),
    "error.no_root_key": (
        "{data} holds no root key yet: run postkeep init.",
        "{data} 中尚无根密钥：请运行 postkeep init。",
    ),
    "error.not_shares": ("The root key is not sealed by shares.", "根密钥并非由份额封存。"),
    "error.reseal_unknown": (
        (
            "The connection broke while the seal was changed. `postkeep key show` tells how the root key is "
            "sealed; until it says otherwise, keep what opened it before."
        ),
        "更换封存时连接中断。请用 `postkeep key show` 查看当前封存方式；在确认之前请保留原有方式。",
    ),
}
