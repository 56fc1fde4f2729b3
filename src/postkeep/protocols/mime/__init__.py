"""MIME: where the parts of a message lie and what its headers say (RFC 5322, 2045-2047, 2231, 5256).

Start with `parse`: it gives a Message with its tree of parts, each with exact offsets into the bytes.
Field values stay raw until someone asks: `parse_addresses`, `parse_date`, `decode_words` and their kin
take them as they are. Nothing here raises on any input, and every limit has a name in `limits`.
"""

from postkeep.protocols.mime.addresses import HeaderAddress, parse_addresses
from postkeep.protocols.mime.charsets import decode_octets
from postkeep.protocols.mime.dates import SentDate, parse_date
from postkeep.protocols.mime.headers import Field, select_fields, split_fields, unfold
from postkeep.protocols.mime.identifiers import parse_identifiers, parse_message_id
from postkeep.protocols.mime.message import Message, Parameters, Part
from postkeep.protocols.mime.parameters import decoded_parameter
from postkeep.protocols.mime.scan import parse
from postkeep.protocols.mime.subject import base_subject, split_subject
from postkeep.protocols.mime.words import decode_words

__all__ = [
    "Field",
    "HeaderAddress",
    "Message",
    "Parameters",
    "Part",
    "SentDate",
    "base_subject",
    "decode_octets",
    "decode_words",
    "decoded_parameter",
    "parse",
    "parse_addresses",
    "parse_date",
    "parse_identifiers",
    "parse_message_id",
    "select_fields",
    "split_fields",
    "split_subject",
    "unfold",
]
