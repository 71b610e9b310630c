//! What there is to say about each alert.

use super::{Entry, Severity};

pub(super) const PRIMARY_LOST: Entry = Entry {
    severity: Severity::Critical,
    subject: "the primary service",
    meaning: "The primary takes no writes, and no failover happens by itself; the text says why: failover is \
              not automatic, paused, too much would be lost, or nobody is fit to take over",
    advice: "Bring the primary back, or decide on the loss: `sterna failover GROUP` says what it would be and \
             asks",
};

pub(super) const REPLICATION_HOLDS: Entry = Entry {
    severity: Severity::Critical,
    subject: "the primary service",
    meaning: "The primary came back empty, from an older file, or as another server. The replica services keep \
              their data and get none of its writes",
    advice: "Look at the primary. If its data is lost, `sterna failover GROUP` goes on with a replica service; \
             if the primary is right, `sterna group accept-history GROUP` shows what each side holds, and copies \
             the primary's data to the replica services anew",
};

pub(super) const REJOIN_STUCK: Entry = Entry {
    severity: Severity::Critical,
    subject: "the former primary service",
    meaning: "A former primary is back and can't be made a replica service yet; its writes are blocked. Writes \
              that only it has may not be saved yet, so nothing there is overwritten",
    advice: "Mend what the text names; it is tried again by itself. Or remove the service from the group",
};

pub(super) const REPAIR_FAILED: Entry = Entry {
    severity: Severity::Critical,
    subject: "the node",
    meaning: "A node is writable, follows somebody else, or lost its settings, and can't be put right. Its data \
              may part from the group's, and it does not take over",
    advice: "Mend what the text names: as a rule, rights of the gateway's user, or another program that sets \
             the node too. It is tried again by itself",
};

pub(super) const NODES_TAKEN_AWAY: Entry = Entry {
    severity: Severity::Critical,
    subject: "the replica service",
    meaning: "Somebody else makes nodes of a replica service primaries, or replicas of another, again and again: as a \
              rule its own Sentinels, which take nodes that follow a relay for a primary that is lost. Each time \
              the node is let follow again, which may cost a full copy, and what is written to it in between \
              ends in a rescue file",
    advice: "Let nobody else manage the service while it copies: `SENTINEL REMOVE NAME` on each of its Sentinels; \
             `SENTINEL MONITOR` again once it is the primary service. Where it has none, look for an operator \
             (Kubernetes), a script or a person",
};

pub(super) const COPY_FAILS: Entry = Entry {
    severity: Severity::Critical,
    subject: "the primary service",
    meaning: "A replica node needs a full copy, and the primary does not send one to its end. The stream is kept \
              meanwhile, writes go on, and the node keeps the data that it has",
    advice: "Mend what the text names: as a rule, what the primary's own log says of its background save, or \
             what stands between. It is asked for again by itself",
};

pub(super) const COPY_HELD: Entry = Entry {
    severity: Severity::Critical,
    subject: "the node",
    meaning: "A replica node needs a full copy that it could not load: the primary was upgraded first, or it has \
              more databases or other modules. A node empties itself before it loads a copy, so it is given none: \
              it keeps the data that it has, gets no new writes, and does not take over",
    advice: "Upgrade the node, or give it what the text names; it is asked again by itself and then given the copy",
};

pub(super) const LOG_DISK: Entry = Entry {
    severity: Severity::Critical,
    subject: "`gateway`",
    meaning: "The disk refuses the replication log, which goes on in memory. Nothing is lost and nothing stalls, \
              but a replica node that is away for longer than the memory reaches back needs a full copy, and \
              a restart of the gateway forgets what is in memory alone",
    advice: "Free space on the gateway's disk, or mend it; the log then goes on there by itself",
};

pub(super) const LOG_DAMAGED: Entry = Entry {
    severity: Severity::Warning,
    subject: "`gateway`",
    meaning: "When the gateway started, the files of the group's replication log could not be used. Another log began, \
              with what the replica nodes hold; the files are kept as they were. Nothing is lost where the primary \
              lives; if it died at the same time, writes that had come here alone may be in these files only",
    advice: "Find out what damaged them (the disk, as a rule). `sterna log inspect DIRECTORY` shows what they hold. \
             Remove the directories that the text names when they are no longer needed; the alert ends then",
};

pub(super) const NOT_TAKEN_UP: Entry = Entry {
    severity: Severity::Critical,
    subject: "`gateway`",
    meaning: "The group's replication log can't be opened, and another could not be either. The group is not \
              replicated and not watched, and a primary with a fence takes no writes meanwhile",
    advice: "Mend what the text names; it is tried again every 5 seconds. To let the primary take writes before that, \
             set `min-replicas-to-write 0` there",
};

pub(super) const STORE_DISK: Entry = Entry {
    severity: Severity::Critical,
    subject: "`gateway`",
    meaning: "The disk of the gateway's store is full; the text says whether changes of primary can be kept",
    advice: "Free space on the gateway's disk; everything goes on by itself then",
};

pub(super) const TLS_FILES: Entry = Entry {
    severity: Severity::Warning,
    subject: "`gateway`",
    meaning: "TLS files of the gateway or of a service have changed, and can't be used as they are. What was read \
              before is used on, until its certificates expire; what is connected stays",
    advice: "Put files there that fit together; they are read by themselves within seconds",
};

pub(super) const CLOCK_STEP: Entry = Entry {
    severity: Severity::Warning,
    subject: "the node",
    meaning: "Within the last hour the clock of the node's machine was set, or the machine stood still (a paused \
              virtual machine). Its lease runs on that clock: one that is set back while the node is \
              cut off lets it take writes beside the new primary for as much longer; they end in a rescue file",
    advice: "Let the machine's clock be put right little by little (chrony without `makestep`, ntpd with `-x`); \
             where steps can't be avoided, set `lease_margin_ms` to the largest",
};

pub(super) const CONFIG_NOT_KEPT: Entry = Entry {
    severity: Severity::Warning,
    subject: "the node",
    meaning: "The node can't rewrite its configuration file, or is not let: with what that file includes it would \
              not start any more, or without the fence. After a restart it is what that file says, without \
              the fence and perhaps as a primary, until the gateway has put it right",
    advice: "Do what the text names: start the node with a configuration file that it can write, change what the \
             file includes, or write the lines of the text at its end by hand",
};
