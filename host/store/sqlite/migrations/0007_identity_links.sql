-- People's accounts at identity providers. The row of a link that has ended stays: it shows that two ids on chat networks
-- belong to one person.

create table identity_link (
    person_id   text not null,
    person_name text not null,
    provider    text not null,
    issuer      text not null,
    subject     text not null,
    groups      text not null, -- JSON
    at          text not null,
    until       text not null,
    primary key (person_id, provider, issuer, subject)
) strict, without rowid;
