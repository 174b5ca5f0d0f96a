"""The table of old settings: complete, and everything that it points to exists."""

from __future__ import annotations

from push_jobs_server.old_settings import BY_NAME, FILE_SETTINGS, FIXED_SETTINGS, SECRETS
from push_jobs_server.settings import TABLE

MAIN = """
enable ha dir log_directory log_rotation.file_maxbytes log_rotation.num_to_keep listen vip
server_name_advertised server_name zeromq_listen_address zmq_io_processes server_heartbeat_port
command_port api_port heartbeat_interval down_threshold decay_window detect_offline_nodes_interval
validate_client_node_name max_body_size db_pool_size ibrowse_max_sessions ibrowse_max_pipeline_size
chef_api_version enable_graphite graphite_host graphite_port keep_alive_time org_feed_expiration
wait_complete_time
"""
OTHERS = """
postgresql.database_name postgresql.username postgresql.sql_user postgresql.sql_ro_user
postgresql.vip postgresql.port bootstrap.enable oc_chef_pedant.dir oc_chef_pedant.log_directory
oc_chef_pedant.log_http_requests .install_path .chef_base_path .topology .api_fqdn
"""
FIXED = (
    "config lifetime",
    "voting timeout",
    "default running timeout",
    "rehab timer",
    "offline threshold",
    "online threshold",
    "message skew",
    "request skew",
    "disable curve encryption",
    "request body",
    "transferred file",
    "key cache",
)
"""The old server's settings, as operator-surfaces 3.2 and 3.5 list them."""

ALL = (*FILE_SETTINGS, *FIXED_SETTINGS, *SECRETS)


def test_every_old_setting_has_its_place() -> None:
    wanted = {f"opscode_pushy_server.{name}" for name in MAIN.split()} | set(OTHERS.split())
    assert {f"{old.section}.{old.name}" for old in FILE_SETTINGS} == wanted
    assert len(BY_NAME) == len(FILE_SETTINGS)
    assert [old.name for old in FIXED_SETTINGS] == list(FIXED)
    secrets = ["sql_password", "sql_ro_password", "pushy_priv_key", "pushy_pub_key"]
    assert [old.name for old in SECRETS] == secrets


def test_each_has_exactly_one_place_and_it_exists() -> None:
    for old in ALL:
        assert sum(map(bool, (old.target, old.always, old.needless))) == 1, old.name
        assert old.target is None or old.target in TABLE.fields, old.name
