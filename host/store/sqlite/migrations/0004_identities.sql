-- Several identities in one host, commands that nobody typed, and when schedules fired.

alter table inbox add column bot text not null default '';
alter table inbox add column unproven text;
alter table inbox add column started text; -- JSON

alter table outbox add column bot text not null default '';

-- Of the time when a host had one identity only, a mark has no name.
create table mark_of (
    bot     text not null,
    network text not null,
    room    text not null,
    event   text,
    at      text not null,
    primary key (bot, network, room)
) strict, without rowid;
insert into mark_of (bot, network, room, event, at) select '', network, room, event, at from mark;
drop table mark;
alter table mark_of rename to mark;
