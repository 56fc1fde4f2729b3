"""The peer's complete configuration: Postfix 3.7 in front, Dovecot 2.3 with mail_crypt behind, over LMTP.

Written into one private directory; nothing under /etc is read or changed. What a careful administrator
would set is set: TLS offered, durable writes everywhere (the defaults of both, named here), folder keys on
P-256 whose user keys are encrypted with the user's password, no limits that a load test would run into.
"""

import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "bench.test"
MAIL_UID = 64_990  # an id that no account has; owns the mail files


@dataclass(frozen=True)
class PeerLayout:
    """Where everything lies and which ports are used."""

    root: Path
    smtp_port: int
    imap_port: int
    users: tuple[str, ...]
    password: str
    mailbox_format: str = "sdbox"
    encrypted: bool = True

    @property
    def postfix(self) -> Path:
        return self.root / "postfix"

    @property
    def dovecot(self) -> Path:
        return self.root / "dovecot"


def write(layout: PeerLayout) -> None:
    """Make the directories, certificates and configuration files of both programs."""
    layout.root.mkdir(parents=True)
    layout.root.chmod(0o755)
    certificate, key = layout.root / "server.crt", layout.root / "server.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "30", "-subj", f"/CN=mx.{DOMAIN}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    _write_postfix(layout, certificate, key)
    _write_dovecot(layout, certificate, key)


def _write_postfix(layout: PeerLayout, certificate: Path, key: Path) -> None:
    base = layout.postfix
    for name in ("etc", "queue", "data", "log"):
        (base / name).mkdir(parents=True)
    subprocess.run(["chown", "postfix:postfix", str(base / "data")], check=True)
    maps = base / "etc" / "mailboxes"
    maps.write_text("".join(f"{user}@{DOMAIN} {user}/\n" for user in layout.users))
    (base / "etc" / "main.cf").write_text(
        f"""
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {base}/log/mail.log
maillog_file_prefixes = {layout.root}
myhostname = mx.{DOMAIN}
mydomain = {DOMAIN}
mydestination =
mynetworks = 127.0.0.0/32
smtpd_relay_restrictions = reject_unauth_destination
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_transport = error:no local mail here
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = texthash:{maps}
virtual_transport = lmtp:unix:{layout.dovecot}/run/lmtp
message_size_limit = 52428800
mailbox_size_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
default_process_limit = 200
""".lstrip()
    )
    (base / "etc" / "master.cf").write_text(
        f"""
127.0.0.1:{layout.smtp_port} inet n - n - - smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
""".lstrip()
    )


def _write_dovecot(layout: PeerLayout, certificate: Path, key: Path) -> None:
    base = layout.dovecot
    for name in ("etc", "run", "state", "log", "mail"):
        (base / name).mkdir(parents=True)
    subprocess.run(["chown", f"{MAIL_UID}:{MAIL_UID}", str(base / "mail")], check=True)
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", secrets.token_hex(8), "-stdin"],
        input=layout.password,
        text=True,
        check=True,
        capture_output=True,
    ).stdout.strip()
    users = base / "etc" / "users"
    users.write_text("".join(f"{user}@{DOMAIN}:{{SHA512-CRYPT}}{hashed}::::::\n" for user in layout.users))
    subprocess.run(["chown", "root:dovecot", str(users)], check=True)
    users.chmod(0o640)
    crypt = (
        """
mail_plugins = $mail_plugins mail_crypt
plugin {
  mail_crypt_curve = prime256v1
  mail_crypt_save_version = 2
  mail_crypt_require_encrypted_user_key = yes
}
"""
        if layout.encrypted
        else ""
    )
    (base / "etc" / "dovecot.conf").write_text(
        f"""
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {base}/run
state_dir = {base}/state
instance_name = bench
log_path = {base}/log/dovecot.log
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
first_valid_uid = {MAIL_UID}
first_valid_gid = {MAIL_UID}
mail_uid = {MAIL_UID}
mail_gid = {MAIL_UID}
mail_home = {base}/mail/%n
mail_location = {layout.mailbox_format}:~/{layout.mailbox_format}
mail_attribute_dict = file:%h/dovecot-attributes
mail_fsync = optimized
default_process_limit = 200
default_client_limit = 2000
passdb {{
  driver = passwd-file
  args = username_format=%u {users}
  override_fields = userdb_mail_crypt_private_password=%w
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {users}
  override_fields = uid={MAIL_UID} gid={MAIL_UID} home={base}/mail/%n
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {layout.imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
  process_min_avail = 1
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0600
    user = postfix
    group = postfix
  }}
}}
{crypt}
""".lstrip()
    )
