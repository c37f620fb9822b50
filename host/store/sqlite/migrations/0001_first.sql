-- Times are RFC 3339 text in UTC with nine digits of a second, so that their order as text is their order in time.
-- People are two columns: the network's own id, and the name for the eye.
-- `seq` is the order in which rows came.

create table inbox (
    seq         integer primary key,
    network     text not null,
    room        text not null,
    event       text not null,
    thread      text,
    sender_id   text not null,
    sender_name text not null,
    text        text not null,
    at          text not null,
    done        integer not null default 0,
    unique (network, room, event)
) strict;
create index inbox_waiting on inbox (seq) where done = 0;

create table mark (
    network text not null,
    room    text not null,
    event   text,
    at      text not null,
    primary key (network, room)
) strict, without rowid;

-- `version` counts the texts of a row, `sent` is the newest of them that was sent, `event` is the network's id
-- of the message that the first one became.
create table outbox (
    seq      integer primary key,
    key      text not null unique,
    network  text not null,
    room     text not null,
    thread   text,
    card     integer not null,
    purpose  text not null, -- JSON
    text     text not null, -- JSON
    version  integer not null default 1,
    sent     integer not null default 0,
    given_up integer not null default 0,
    event    text
) strict;
create index outbox_unsent on outbox (seq) where sent < version and given_up = 0;

create table job (
    seq         integer primary key,
    id          text not null unique,
    network     text not null,
    room        text not null,
    event       text not null,
    thread      text,
    bot         text not null,
    caller_id   text not null,
    caller_name text not null,
    plugin      text not null,
    digest      text not null,
    command     text not null,
    line        text not null,
    opened      text not null,
    outcome     text,
    ended       text,
    summary     text
) strict;
create index job_open on job (seq) where ended is null;

-- The journal of jobs. Only appended to.
create table entry (
    seq        integer primary key,
    job        text not null references job (id),
    number     integer not null,
    kind       text not null,
    plugin     text not null,
    call       text not null,
    of         integer,
    rule       text not null,
    attributes text not null, -- JSON
    body       text not null, -- JSON
    at         text not null,
    unique (job, number)
) strict;

-- What each query and each refused command left. Only appended to.
create table line (
    seq         integer primary key,
    network     text not null,
    room        text not null,
    event       text not null,
    caller_id   text not null,
    caller_name text not null,
    plugin      text,
    command     text not null,
    at          text not null,
    calls       text not null, -- JSON
    denials     text not null  -- JSON
) strict;

create table release (
    seq         integer primary key,
    run         text not null unique,
    app         text not null,
    environment text not null,
    version     text not null,
    person_id   text not null,
    person_name text not null,
    job         text not null,
    started     text not null,
    ended       text not null,
    outcome     text not null
) strict;
create index release_newest on release (app, environment, ended, seq);

create table value (
    plugin text not null,
    key    text not null,
    value  blob not null,
    primary key (plugin, key)
) strict, without rowid;
