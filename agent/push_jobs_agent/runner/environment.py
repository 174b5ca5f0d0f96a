"""What a job finds in its environment. Pure.

A caller's variables are data, never a way into the loader, an interpreter or the accounts of this
node: such names are always passed as ``CHEF_PUSH_ENV_<NAME>``. Follows operator-surfaces 2.5 and
9.2 row 10.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Collection, Mapping, Optional

PREFIX = "CHEF_PUSH_ENV_"

JOB_ID_VARIABLE = "CHEF_PUSH_JOB_ID"
NODE_VARIABLE = "CHEF_PUSH_NODE_NAME"
FILE_VARIABLE = "CHEF_PUSH_JOB_FILE"

NOT_FOR_JOBS = (
    "CREDENTIALS_DIRECTORY INVOCATION_ID JOURNAL_STREAM MAINPID NOTIFY_SOCKET"
    " LISTEN_FDNAMES LISTEN_FDS LISTEN_PID WATCHDOG_PID WATCHDOG_USEC"
).split()
"""What a service manager tells the runner is not for the jobs that it starts."""

HAZARDS = (
    # shells
    "PATH ENV IFS CDPATH FPATH GLOBIGNORE EXECIGNORE PROMPT_COMMAND ZDOTDIR PS0 PS1 PS2 PS3 PS4"
    # the C library
    " GCONV_PATH GETCONF_DIR HOSTALIASES LOCALDOMAIN LOCPATH NLSPATH RES_OPTIONS TZDIR"
    " TERMCAP TERMINFO TERMINFO_DIRS"
    # who a job runs as, and where programs of that user look for their settings
    " HOME USER LOGNAME SHELL TMPDIR"
    # interpreters
    " CLASSPATH JDK_JAVA_OPTIONS _JAVA_OPTIONS JAVA_TOOL_OPTIONS JAVA_HOME JRUBY_OPTS"
    " NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS PHPRC PHP_INI_SCAN_DIR GOFLAGS GOPATH GOROOT"
    " R_HOME R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER TCLLIBPATH AWKPATH AWKLIBPATH"
    # programs that start other programs
    " BROWSER EDITOR EXINIT GZIP PAGER MANPAGER TAR_OPTIONS VIMINIT VISUAL WGETRC CURL_HOME"
).split()

HAZARDOUS_PREFIXES = (
    *(
        "LD_",
        "DYLD_",
        "GLIBC_",
        "MALLOC_",
        "RESOLV_",
        "BASH",
        "SHELLOPTS",
        "KSH_",
        "XDG_",
    ),
    *(
        "PYTHON",
        "RUBY",
        "GEM_",
        "BUNDLE_",
        "BUNDLER_",
        "PERL",
        "LUA_",
        "NPM_",
        "npm_",
        "ERL_",
    ),
    *("DOTNET_", "COMPlus_", "CORECLR_", "OPENSSL_", "SSL_", "GTK_", "QT_"),
    *("GIT_", "SSH_", "SUDO_", "RSYNC_", "MAKE", "LESS", "CHEF_PUSH_"),
)


def is_hazardous(name: str) -> bool:
    """True for a variable that says how programs are found, loaded or run."""
    return name in HAZARDS or name.startswith(HAZARDOUS_PREFIXES)


def build(
    own: Mapping[str, str],
    caller: Mapping[str, str],
    entry: Mapping[str, str],
    allowed: Optional[Collection[str]],
) -> dict[str, str]:
    """The environment of a job but for its three facts.

    Args:
        own: of this process.
        caller: what the job asks for.
        entry: what the whitelist says; a caller cannot change it.
        allowed: the only names a caller may set, None when no such setting was made.
    """
    made = {
        name: text
        for name, text in own.items()
        if name not in NOT_FOR_JOBS and not name.startswith("CHEF_PUSH_")
    }
    for name, text in caller.items():
        plain = not is_hazardous(name) and name not in entry
        if plain and (allowed is None or name in allowed):
            made[name] = text
        else:
            made[PREFIX + name] = text
    made.update(entry)
    return made


def with_facts(made: Mapping[str, str], job_id: str, node: str) -> dict[str, str]:
    """``made`` with the facts of a job before it, so that they are found early."""
    facts = {JOB_ID_VARIABLE: job_id, NODE_VARIABLE: node}
    return {**facts, **made, **facts}
