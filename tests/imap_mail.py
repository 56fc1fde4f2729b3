"""Messages that the IMAP tests read."""

PLAIN = (
    b"From: Bob <bob@example.net>\r\nTo: alice@example.com\r\nSubject: Lunch\r\n"
    b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <m1@example.net>\r\n\r\nAt noon?\r\n"
)
INNER = b"Subject: Inner\r\n\r\ninner text"
NESTED = (
    b"From: carol@example.org\r\nTo: alice@example.com\r\nSubject: =?utf-8?b?5Y2I6aSQ?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"x+uy6dXVuL28/g==\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\nX-Part: two\r\n\r\n" + INNER + b"\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"AAEC\r\n--b--\r\n"
)
