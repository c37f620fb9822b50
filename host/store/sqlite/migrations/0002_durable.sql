-- Jobs that outlive their process, and the chain that shows whether something was changed.
--
-- Jobs, entries and lines of version 1 carry no hashes: kept, they could not be told from invented ones. They go; the
-- rooms of jobs that are still open are told. Messages, marks, releases and the plugins' keys stay.

alter table outbox add column at text not null default ''; -- when it was first said, by the store's clock
update outbox set at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000000Z';
update outbox set version = version + 1, purpose = '{"Card":{"rest":true}}',
    text = (select json_array(json_object('line', '[' || id || '] ' || line || ': unknown, it broke off'))
            from job where job.id || '/card' = outbox.key)
    where card = 1 and key in (select id || '/card' from job where ended is null);
insert into outbox (key, network, room, thread, card, purpose, text, at)
    select id || '/closing', network, room, thread, 0, '"Message"',
           json_array(json_object('line', '`' || line || '` (job ' || id || ', asked by ' || caller_name
               || ') was open when this host was brought up to date. It is not gone on with, and how far it came is not known.')),
           strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000000Z'
    from job where ended is null
    on conflict (key) do nothing;

drop table entry;
drop table line;
drop table job;

-- `entries` and `tip` say how many entries a job has and the hash of the last one.
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
    app         text,
    environment text,
    line        text not null,
    parent      text,
    opened      text not null,
    phase       text not null,
    about       text not null,
    since       text not null,
    wake        text,
    entries     integer not null default 0,
    tip         text not null default '',
    outcome     text,
    ended       text,
    summary     text
) strict;
create index job_open on job (seq) where ended is null;
create index job_phase on job (phase, seq) where ended is null;
create index job_wake on job (wake, seq) where ended is null and wake is not null;
create index job_over on job (seq) where ended is not null;
create index job_ended on job (ended, seq) where ended is not null;
create index job_plugin on job (plugin, seq);
create index job_plugin_phase on job (plugin, phase, seq) where ended is null;
create index job_thread on job (network, room, thread, seq) where thread is not null;
create index job_inbox on job (network, room, event);
create index job_digest on job (digest);

-- The journal of jobs. Only appended to; a job that is removed takes its entries along.
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
    beside     text,
    at         text not null,
    hash       text not null,
    unique (job, number)
) strict;
create index entry_beside on entry (beside) where beside is not null;

-- The chain. Only appended to, and nothing is ever removed.
create table link (
    number  integer primary key,
    kind    text not null,
    subject text not null,
    digest  text not null,
    at      text not null,
    hash    text not null
) strict;
create index link_open on link (subject) where kind = 'open';

-- What each query and each refused command left. Only appended to; removed in whole groups.
create table line (
    seq         integer primary key,
    link        integer not null references link (number),
    network     text not null,
    room        text not null,
    event       text not null,
    caller_id   text not null,
    caller_name text not null,
    plugin      text,
    command     text not null,
    at          text not null,
    calls       text not null, -- JSON
    denials     text not null, -- JSON
    refused     integer not null
) strict;
create index line_link on line (link, seq);
create index line_at on line (at);

create table beside (
    seq    integer primary key,
    digest text not null unique,
    bytes  blob not null
) strict;

create table place (
    app         text not null,
    environment text not null,
    job         text not null references job (id),
    primary key (app, environment)
) strict, without rowid;
create index place_job on place (job);

alter table release add column recorded integer not null default 0;

create index inbox_over on inbox (at) where done = 1;
create index outbox_at on outbox (at);

-- Which machine works with this database: one row.
create table lease (
    one     integer primary key check (one = 1),
    machine text not null,
    at      text not null
) strict;
