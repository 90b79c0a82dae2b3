//! The commands and flags that there are, as data: parsing and help are made of this table.

/// A flag, with what its value is called in help; empty: a switch.
#[derive(Debug)]
pub struct Flag {
    pub name: &'static str,
    /// Another name; empty: none.
    pub short: &'static str,
    pub value: &'static str,
    pub about: &'static str,
}

#[derive(Debug)]
pub struct Command {
    pub name: &'static str,
    pub usage: &'static str,
    pub about: &'static str,
    /// How many operands it takes, at least and at most.
    pub operands: (usize, usize),
    /// What follows the first operand belongs to a program.
    pub program: bool,
    pub flags: &'static [Flag],
}

const fn flag(name: &'static str, short: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag { name, short, value, about }
}

const HELP: Flag = flag("help", "h", "", "show this");

pub const GLOBAL: &[Flag] = &[
    flag("root", "", "DIRECTORY", "where the state of containers is (/run/stave-runtime, or in XDG_RUNTIME_DIR)"),
    flag("log", "", "FILE", "where errors are written as well"),
    flag("log-format", "", "text|json", "how they are written there"),
    flag("log-level", "", "LEVEL", "debug does what --debug does; errors and warnings are always there"),
    flag("debug", "", "", "what is called is written there as well"),
    flag("cgroup-manager", "", "cgroupfs|disabled", "whether containers get control groups"),
    flag("systemd-cgroup", "", "", "refused: control groups are made in the file system, not by systemd"),
    flag("rootless", "", "true|false|auto", "whether limits that cannot be set here are left out"),
    HELP,
    flag("version", "v", "", "show the version"),
];

const BUNDLE: Flag = flag("bundle", "b", "DIRECTORY", "where config.json is (the working directory)");
const CONFIG: Flag = flag("config", "f", "FILE", "another name than config.json");
const CONSOLE: Flag = flag("console-socket", "", "PATH", "where the controlling side of the terminal is sent");
const PIDFD_SOCKET: Flag = flag("pidfd-socket", "", "PATH", "where a descriptor of the process is sent");
const PID_FILE: Flag = flag("pid-file", "", "FILE", "where the number of the process is written");
const NO_PIVOT: Flag = flag("no-pivot", "", "", "taken for callers that run from memory: pivot_root works there too");
const NO_KEYRING: Flag = flag("no-new-keyring", "", "", "leave the session keyring as it is");
const PRESERVE: Flag = flag("preserve-fds", "", "N", "pass descriptors 3 to 2+N on");
const NO_SUBREAPER: Flag = flag("no-subreaper", "", "", "do not become the parent of orphans");

/// In the order of help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "create",
        usage: "ID",
        about: "Make a container, which waits to be started",
        operands: (1, 1),
        program: false,
        flags: &[BUNDLE, CONFIG, CONSOLE, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE, NO_SUBREAPER, HELP],
    },
    Command { name: "start", usage: "ID", about: "Start the program of a container", operands: (1, 1), program: false, flags: &[HELP] },
    Command {
        name: "run",
        usage: "ID",
        about: "Make a container, start it, and wait for its end",
        operands: (1, 1),
        program: false,
        flags: &[
            BUNDLE,
            CONFIG,
            flag("detach", "d", "", "do not wait"),
            flag("keep", "", "", "leave the container there when it has ended"),
            CONSOLE,
            PIDFD_SOCKET,
            PID_FILE,
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE,
            NO_SUBREAPER,
            HELP,
        ],
    },
    Command {
        name: "exec",
        usage: "ID [COMMAND ARGUMENTS]",
        about: "Start one more process in a container",
        operands: (1, usize::MAX),
        program: true,
        flags: &[
            flag("process", "p", "FILE", "a process of the specification, in place of the command"),
            flag("tty", "t", "", "give it a terminal"),
            flag("detach", "d", "", "do not wait"),
            flag("cwd", "", "DIRECTORY", "where it begins"),
            flag("env", "e", "NAME=VALUE", "a variable more"),
            flag("user", "u", "UID[:GID]", "as whom"),
            flag("additional-gids", "g", "GID", "a group more"),
            flag("cap", "c", "CAPABILITY", "a capability more"),
            flag("no-new-privs", "", "", "it can gain no privileges"),
            flag("apparmor", "", "PROFILE", "the AppArmor profile"),
            flag("process-label", "", "LABEL", "the SELinux label"),
            flag("ignore-paused", "", "", "also where all is paused: it begins when that ends"),
            CONSOLE,
            PIDFD_SOCKET,
            PID_FILE,
            PRESERVE,
            HELP,
        ],
    },
    Command { name: "state", usage: "ID", about: "Show the state of a container", operands: (1, 1), program: false, flags: &[HELP] },
    Command {
        name: "kill",
        usage: "ID [SIGNAL]",
        about: "Send a signal (SIGTERM) to a container",
        operands: (1, 2),
        program: false,
        flags: &[flag("all", "a", "", "to all its processes"), HELP],
    },
    Command {
        name: "delete",
        usage: "ID",
        about: "Remove a container that has ended",
        operands: (1, 1),
        program: false,
        flags: &[flag("force", "f", "", "end it first if it runs; none is no error"), HELP],
    },
    Command {
        name: "list",
        usage: "",
        about: "List containers",
        operands: (0, 0),
        program: false,
        flags: &[flag("format", "f", "table|json", "how"), flag("quiet", "q", "", "ids alone"), HELP],
    },
    Command {
        name: "ps",
        usage: "ID [OPTIONS OF ps]",
        about: "Show the processes of a container",
        operands: (1, usize::MAX),
        program: true,
        flags: &[flag("format", "f", "table|json", "how"), HELP],
    },
    Command { name: "pause", usage: "ID", about: "Stop all processes of a container", operands: (1, 1), program: false, flags: &[HELP] },
    Command { name: "resume", usage: "ID", about: "Let them go on", operands: (1, 1), program: false, flags: &[HELP] },
    Command {
        name: "update",
        usage: "ID",
        about: "Change the limits of a container",
        operands: (1, 1),
        program: false,
        flags: &[
            flag("resources", "r", "FILE", "resources of the specification (-: standard input), in place of the flags"),
            flag("memory", "", "BYTES", "as much memory"),
            flag("memory-reservation", "", "BYTES", "memory that it keeps when there is little"),
            flag("memory-swap", "", "BYTES", "as much memory and swap together"),
            flag("pids-limit", "", "N", "as many processes"),
            flag("cpu-quota", "", "MICROSECONDS", "processor time in a period"),
            flag("cpu-period", "", "MICROSECONDS", "how long that is"),
            flag("cpu-burst", "", "MICROSECONDS", "time that is left over for the next"),
            flag("cpu-share", "", "N", "its part where processors are short"),
            flag("cpu-idle", "", "0|1", "only where nobody else wants to run"),
            flag("cpu-rt-period", "", "MICROSECONDS", "the period of real-time processes"),
            flag("cpu-rt-runtime", "", "MICROSECONDS", "their time in it"),
            flag("cpuset-cpus", "", "LIST", "on these processors"),
            flag("cpuset-mems", "", "LIST", "on these memory nodes"),
            flag("blkio-weight", "", "N", "its part of block devices"),
            HELP,
        ],
    },
    Command {
        name: "events",
        usage: "ID",
        about: "Show what a container uses, and when it ran out of memory",
        operands: (1, 1),
        program: false,
        flags: &[flag("stats", "", "", "once"), flag("interval", "", "DURATION", "how often (5s)"), HELP],
    },
    Command {
        name: "spec",
        usage: "",
        about: "Write a config.json to begin with",
        operands: (0, 0),
        program: false,
        flags: &[BUNDLE, flag("rootless", "", "", "one for the user who calls"), HELP],
    },
    Command { name: "features", usage: "", about: "Show what is supported", operands: (0, 0), program: false, flags: &[HELP] },
];
