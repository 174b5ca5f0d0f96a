"""Every message of the Pushy wire as a typed record, and its JSON body both ways.

The records live in ``server_messages`` and ``node_messages``; signatures, clocks and sockets live
elsewhere. Sources: pushy-protocol 5, 6.1; the extensions are ours.
"""

from push_jobs_wire.heartbeats import Heartbeat, JobRef, Runnable
from push_jobs_wire.message_fields import (
    EXTENSIONS,
    LEFT_OUT,
    MAX_JOB_ID,
    STREAMS,
    MessageError,
    Unknown,
    load,
)
from push_jobs_wire.node_messages import (
    REPLIES,
    NodeMessage,
    Origin,
    Output,
    Reply,
    decode_node,
    encode_node,
    origin_of,
)
from push_jobs_wire.server_messages import (
    Abort,
    Ack,
    Commit,
    Confirm,
    OutputAck,
    Run,
    ServerHeartbeat,
    ServerMessage,
    decode_server,
    encode_server,
)

__all__ = [
    "EXTENSIONS",
    "LEFT_OUT",
    "MAX_JOB_ID",
    "REPLIES",
    "STREAMS",
    "Abort",
    "Ack",
    "Commit",
    "Confirm",
    "Heartbeat",
    "JobRef",
    "MessageError",
    "NodeMessage",
    "Origin",
    "Output",
    "OutputAck",
    "Reply",
    "Run",
    "Runnable",
    "ServerHeartbeat",
    "ServerMessage",
    "Unknown",
    "decode_node",
    "decode_server",
    "encode_node",
    "encode_server",
    "load",
    "origin_of",
]
