//! Random commands and responses are read back as they were written, by this crate and, for what
//! it covers, by an independent implementation.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder;
use imap_codec::{CommandCodec, ResponseCodec};
use imap_proto::parse::{self, Frame};
use imap_proto::serialize::{self, Chunk, ClientOptions, LiteralSupport};
use imap_proto::types::*;
use mail_types::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Text of an argument: often plain, sometimes anything but NUL.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zA-Z0-9 ]{0,12}".prop_map(String::into_bytes),
        2 => vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'\r'), Just(b'\n'),
            Just(b'('), Just(b'%'), Just(b'*'), Just(b']'), 1_u8..=255], 0..12),
        1 => Just(b"NIL".to_vec()),
        1 => "\\PC{0,8}".prop_map(String::into_bytes),
    ]
}

fn mailbox() -> impl Strategy<Value = MailboxArg> {
    bytes().prop_map(MailboxArg::from_wire)
}

fn bound() -> impl Strategy<Value = SeqBound> {
    prop_oneof![8 => (1..=u32::MAX).prop_map(SeqBound::Number), 1 => Just(SeqBound::Last)]
}

fn set() -> impl Strategy<Value = SequenceSet> {
    let range = || (bound(), bound()).prop_map(|(first, last)| SeqRange { first, last });
    prop_oneof![
        6 => vec(range(), 1..5).prop_map(SequenceSet::new),
        1 => Just(SequenceSet::saved()),
        1 => vec(range(), 1..3).prop_map(|ranges| SequenceSet::new(ranges).with_saved()),
    ]
}

/// Numbers only, ascending and apart: the form that every implementation keeps as it is.
fn plain_set() -> impl Strategy<Value = SequenceSet> {
    vec((2..50_u32, 0..50_u32), 1..5).prop_map(|steps| {
        let mut at = 0;
        let mut ranges = Vec::new();
        for (gap, width) in steps {
            let first = SeqBound::Number(at + gap);
            let last = SeqBound::Number(at + gap + width);
            at += gap + width;
            ranges.push(SeqRange { first, last });
        }
        SequenceSet::new(ranges)
    })
}

fn keyword() -> impl Strategy<Value = Keyword> {
    "[$a-zA-Z0-9_+-]{1,12}".prop_map(|name| Keyword::new(&name).unwrap())
}

fn flags() -> impl Strategy<Value = Flags> {
    (0_u8..32, vec(keyword(), 0..3))
        .prop_map(|(bits, keywords)| Flags::new(SystemFlags::from_bits(bits).unwrap(), keywords))
}

fn flag_list() -> impl Strategy<Value = FlagList> {
    (flags(), any::<bool>(), vec("\\\\[A-Z][a-z]{5}", 0..2)).prop_map(|(flags, recent, other)| {
        let mut list = FlagList { recent, ..FlagList::from(flags) };
        other.iter().for_each(|name| list.add(name));
        list
    })
}

fn date() -> impl Strategy<Value = InternalDate> {
    (0_i64..4_000_000_000, -14_i16 * 60..14 * 60).prop_map(|(s, m)| InternalDate::new(s, m))
}

fn mod_seq() -> impl Strategy<Value = ModSeq> {
    (1..=i64::MAX as u64).prop_map(|n| ModSeq::new(n).unwrap())
}

fn object_id() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{1,20}"
}

fn part() -> impl Strategy<Value = Vec<u32>> {
    vec(1..=u32::MAX, 0..4)
}

fn section() -> impl Strategy<Value = Section> {
    let fields = || vec(bytes(), 1..3).prop_map(HeaderFields);
    let text = option::of(prop_oneof![
        Just(SectionText::Header),
        Just(SectionText::Text),
        Just(SectionText::Mime),
        fields().prop_map(SectionText::HeaderFields),
        fields().prop_map(SectionText::HeaderFieldsNot),
    ]);
    (part(), text)
        .prop_filter("MIME has a part", |(part, text)| {
            !(part.is_empty() && *text == Some(SectionText::Mime))
        })
        .prop_map(|(part, text)| Section { part, text })
}

fn partial() -> impl Strategy<Value = Option<Partial>> {
    let max = i64::MAX as u64;
    option::of((0..=max, 1..=max).prop_map(|(offset, length)| Partial { offset, length }))
}

fn peek() -> impl Strategy<Value = Peek> {
    prop_oneof![Just(Peek::Peek), Just(Peek::SetSeen)]
}

fn fetch_item() -> impl Strategy<Value = FetchItem> {
    prop_oneof![
        Just(FetchItem::Uid),
        Just(FetchItem::Flags),
        Just(FetchItem::InternalDate),
        Just(FetchItem::Rfc822Size),
        Just(FetchItem::Envelope),
        Just(FetchItem::Body),
        Just(FetchItem::BodyStructure),
        (section(), partial(), peek()).prop_map(|(section, partial, peek)| FetchItem::Section {
            section,
            partial,
            peek
        }),
        peek().prop_map(FetchItem::Rfc822),
        Just(FetchItem::Rfc822Header),
        peek().prop_map(FetchItem::Rfc822Text),
        (part(), partial(), peek()).prop_map(|(part, partial, peek)| FetchItem::Binary {
            part,
            partial,
            peek
        }),
        part().prop_map(|part| FetchItem::BinarySize { part }),
        Just(FetchItem::ModSeq),
        Just(FetchItem::EmailId),
        Just(FetchItem::ThreadId),
        Just(FetchItem::SaveDate),
        Just(FetchItem::Preview(Preview::Full)),
        Just(FetchItem::Preview(Preview::Lazy)),
        annotation_item().prop_map(FetchItem::Annotation),
    ]
}

fn annotation_name() -> impl Strategy<Value = AnnotationName> {
    "(/[1-9](\\.[1-9]){0,2})?(/[a-zA-Z.{}\"\\\\ -]{1,9}){1,3}"
        .prop_map(|name| AnnotationName::new(&name).unwrap())
}

fn annotation_scope() -> impl Strategy<Value = AnnotationScope> {
    proptest::sample::select(AnnotationScope::ALL.to_vec())
}

fn annotation_part() -> impl Strategy<Value = AnnotationPart> {
    prop_oneof![Just(AnnotationPart::Value), Just(AnnotationPart::Size)]
}

fn entry_match() -> impl Strategy<Value = String> {
    prop_oneof![annotation_name().prop_map(|name| name.as_str().to_owned()), "[/*%]?[a-z]{0,3}[*%]",]
}

fn annotation_item() -> impl Strategy<Value = AnnotationItem> {
    let attributes = vec((annotation_part(), option::of(annotation_scope())), 1..4);
    (vec(entry_match(), 1..4), attributes)
        .prop_map(|(entries, attributes)| AnnotationItem { entries, attributes })
}

fn annotation_value() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(prop_oneof![bytes(), vec(any::<u8>(), 0..20)])
}

fn annotation_settings() -> impl Strategy<Value = Vec<AnnotationSetting>> {
    let setting = (annotation_name(), annotation_scope(), annotation_value());
    vec(setting.prop_map(|(entry, scope, value)| AnnotationSetting { entry, scope, value }), 1..4)
}

fn annotation_data() -> impl Strategy<Value = AnnotationData> {
    let attribute = (annotation_part(), annotation_scope(), annotation_value());
    let entry = (annotation_name(), vec(attribute, 1..4));
    let entry = entry.prop_map(|(name, attributes)| AnnotationEntry { name, attributes });
    prop_oneof![
        vec(entry, 1..4).prop_map(AnnotationData::Values),
        vec(annotation_name(), 1..4).prop_map(AnnotationData::Changed),
    ]
}

fn annotation_support() -> impl Strategy<Value = AnnotationSupport> {
    prop_oneof![
        Just(AnnotationSupport::None),
        any::<bool>().prop_map(|no_private| AnnotationSupport::ReadOnly { no_private }),
        (1..=u32::MAX, any::<bool>()).prop_map(|(value_bytes_max, no_private)| {
            AnnotationSupport::Writable { value_bytes_max, no_private }
        }),
    ]
}

fn system_flag() -> impl Strategy<Value = SystemFlags> {
    (0_u32..5).prop_map(|bit| SystemFlags::from_bits(1 << bit).unwrap())
}

/// Keys that every implementation of IMAP4rev1 knows.
fn old_key() -> impl Strategy<Value = SearchKey> {
    let day = || 0_i64..30_000;
    prop_oneof![
        Just(SearchKey::All),
        system_flag().prop_map(SearchKey::Flag),
        system_flag().prop_map(SearchKey::NotFlag),
        keyword().prop_map(SearchKey::Keyword),
        keyword().prop_map(SearchKey::NotKeyword),
        Just(SearchKey::New),
        Just(SearchKey::Old),
        Just(SearchKey::Recent),
        plain_set().prop_map(SearchKey::Sequence),
        plain_set().prop_map(SearchKey::Uid),
        bytes().prop_map(SearchKey::Bcc),
        bytes().prop_map(SearchKey::Cc),
        bytes().prop_map(SearchKey::From),
        bytes().prop_map(SearchKey::To),
        bytes().prop_map(SearchKey::Subject),
        bytes().prop_map(SearchKey::Body),
        bytes().prop_map(SearchKey::Text),
        ("[A-Za-z-]{1,9}", bytes()).prop_map(|(field, text)| {
            SearchKey::Header(HeaderKey { field: field.into_bytes(), text })
        }),
        day().prop_map(SearchKey::Before),
        day().prop_map(SearchKey::On),
        day().prop_map(SearchKey::Since),
        day().prop_map(SearchKey::SentBefore),
        day().prop_map(SearchKey::SentOn),
        day().prop_map(SearchKey::SentSince),
        any::<u32>().prop_map(|n| SearchKey::Larger(n.into())),
        any::<u32>().prop_map(|n| SearchKey::Smaller(n.into())),
    ]
}

fn filter_name() -> impl Strategy<Value = FilterName> {
    "[!#-$&-'+-.0-\\[^-z|}~]{1,12}".prop_filter_map("no name", |name| FilterName::new(&name))
}

fn new_key() -> impl Strategy<Value = SearchKey> {
    let scope = option::of(
        prop_oneof![Just("priv"), Just("shared"), Just("all")]
            .prop_map(|kind| ModSeqScope { entry: b"/flags/\\Seen".to_vec(), kind }),
    );
    prop_oneof![
        set().prop_map(SearchKey::Sequence),
        set().prop_map(SearchKey::Uid),
        (1..=u32::MAX).prop_map(|n| SearchKey::UidAfter(Uid::new(n).unwrap())),
        (1..=u32::MAX).prop_map(|n| SearchKey::UidBefore(Uid::new(n).unwrap())),
        (bytes(), bytes()).prop_map(|(field, text)| SearchKey::Header(HeaderKey { field, text })),
        (0_i64..30_000).prop_map(SearchKey::SavedBefore),
        (0_i64..30_000).prop_map(SearchKey::SavedOn),
        (0_i64..30_000).prop_map(SearchKey::SavedSince),
        Just(SearchKey::SaveDateSupported),
        (1..=u32::MAX).prop_map(SearchKey::Older),
        (1..=u32::MAX).prop_map(SearchKey::Younger),
        (0..=i64::MAX as u64).prop_map(SearchKey::Larger),
        object_id().prop_map(SearchKey::EmailId),
        object_id().prop_map(SearchKey::ThreadId),
        filter_name().prop_map(SearchKey::Filter),
        (mod_seq(), scope).prop_map(|(mod_seq, scope)| SearchKey::ModSeq { mod_seq, scope }),
        bytes().prop_map(|text| SearchKey::Fuzzy(Box::new(SearchKey::Subject(text)))),
        (entry_match(), option::of(annotation_scope()), annotation_value()).prop_map(
            |(entry, scope, text)| { SearchKey::Annotation(AnnotationKey { entry, scope, text }) }
        ),
    ]
}

fn nested(leaf: BoxedStrategy<SearchKey>) -> impl Strategy<Value = SearchKey> {
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| SearchKey::Or(Box::new(a), Box::new(b))),
            vec(inner, 1..4).prop_map(SearchKey::And),
        ]
    })
}

fn numbering() -> impl Strategy<Value = Numbering> {
    prop_oneof![Just(Numbering::Sequence), Just(Numbering::Uid)]
}

fn copy_move() -> impl Strategy<Value = CopyMove> {
    (numbering(), set(), mailbox()).prop_map(|(numbering, set, mailbox)| CopyMove {
        numbering,
        set,
        mailbox,
    })
}

fn store(set: impl Strategy<Value = SequenceSet>) -> impl Strategy<Value = Store> {
    let action =
        prop_oneof![Just(StoreAction::Replace), Just(StoreAction::Add), Just(StoreAction::Remove)];
    let reply = prop_oneof![Just(StoreReply::Flags), Just(StoreReply::Silent)];
    (numbering(), set, action, reply, flags()).prop_map(|(numbering, set, action, reply, flags)| {
        let flags = flags.into();
        Store { numbering, set, unchanged_since: None, action, reply, flags }
    })
}

fn status_items() -> impl Strategy<Value = Vec<StatusItem>> {
    vec(proptest::sample::select(StatusItem::ALL.map(|(item, _)| item).to_vec()), 1..5)
}

fn list() -> impl Strategy<Value = List> {
    let selection = any::<[bool; 4]>().prop_map(|[subscribed, remote, special_use, recursive]| {
        let recursive_match = recursive && subscribed;
        ListSelection { subscribed, remote, recursive_match, special_use }
    });
    let metadata = vec(entry_name(), 0..3);
    let returns = (any::<[bool; 4]>(), option::of(status_items()), metadata).prop_map(
        |([subscribed, children, special_use, my_rights], status, metadata)| {
            let status = status.unwrap_or_default();
            ListReturn { subscribed, children, special_use, my_rights, status, metadata }
        },
    );
    let patterns = vec(bytes().prop_map(ListPattern::from_wire), 1..4);
    (any::<bool>(), selection, mailbox(), patterns, returns).prop_map(
        |(extended, selection, reference, patterns, returns)| {
            let extended = extended
                || patterns.len() > 1
                || selection != ListSelection::default()
                || returns != ListReturn::default();
            List { extended, selection, reference, patterns, returns }
        },
    )
}

fn entry_name() -> impl Strategy<Value = EntryName> {
    "/(private|shared)(/[a-z0-9 .{}\"\\\\-]{1,9}){0,3}".prop_map(|n| EntryName::new(&n).unwrap())
}

fn metadata_entries() -> impl Strategy<Value = Vec<MetadataEntry>> {
    let name = entry_name().prop_filter("a name that can hold a value", EntryName::can_hold_value);
    vec((name, option::of(prop_oneof![bytes(), vec(any::<u8>(), 0..20)])), 1..4)
}

fn get_metadata() -> impl Strategy<Value = CommandBody> {
    let depth = proptest::sample::select(MetadataDepth::ALL.map(|(depth, _)| depth).to_vec());
    (mailbox(), option::of(any::<u32>()), depth, vec(entry_name(), 1..4)).prop_map(
        |(mailbox, max_size, depth, entries)| {
            CommandBody::GetMetadata(GetMetadata { mailbox, max_size, depth, entries })
        },
    )
}

fn metadata_reply() -> impl Strategy<Value = MetadataReply> {
    let data = prop_oneof![
        metadata_entries().prop_map(MetadataData::Values),
        vec(entry_name(), 1..4).prop_map(MetadataData::Changed),
    ];
    (mailbox(), data).prop_map(|(mailbox, data)| MetadataReply { mailbox, data })
}

fn limit() -> impl Strategy<Value = (String, u64)> {
    ("[A-Z][A-Z-]{0,10}", 0..=i64::MAX as u64)
}

fn quota_reply() -> impl Strategy<Value = QuotaReply> {
    let resource = (limit(), 0..=i64::MAX as u64);
    let resource = resource.prop_map(|((name, limit), usage)| QuotaResource { name, usage, limit });
    (bytes(), vec(resource, 0..4)).prop_map(|(root, resources)| QuotaReply { root, resources })
}

fn identifier() -> impl Strategy<Value = String> {
    prop_oneof![4 => "-?[a-z]{1,9}", 1 => "[^\0]{1,9}", 1 => Just("NIL".to_owned())]
}

fn rights() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9]{0,12}", 1 => Just("nil".to_owned())]
}

fn set_acl() -> impl Strategy<Value = CommandBody> {
    let modes = vec![RightsMode::Set, RightsMode::Add, RightsMode::Remove];
    let mode = proptest::sample::select(modes);
    (mailbox(), identifier(), mode, rights()).prop_map(|(mailbox, identifier, mode, rights)| {
        CommandBody::SetAcl(SetAcl { mailbox, identifier, rights: ModRights { mode, rights } })
    })
}

fn acl_entry() -> impl Strategy<Value = AclEntry> {
    (mailbox(), identifier()).prop_map(|(mailbox, identifier)| AclEntry { mailbox, identifier })
}

fn acl_body() -> impl Strategy<Value = CommandBody> {
    prop_oneof![
        set_acl(),
        acl_entry().prop_map(CommandBody::DeleteAcl),
        mailbox().prop_map(CommandBody::GetAcl),
        acl_entry().prop_map(CommandBody::ListRights),
        mailbox().prop_map(CommandBody::MyRights),
    ]
}

fn list_rights_reply() -> impl Strategy<Value = ListRightsReply> {
    (mailbox(), identifier(), rights(), vec(rights(), 0..4)).prop_map(
        |(mailbox, identifier, required, optional)| ListRightsReply {
            mailbox,
            identifier,
            required,
            optional,
        },
    )
}

fn qresync() -> impl Strategy<Value = Qresync> {
    let numbers = || option::of(plain_set());
    let pair = option::of((plain_set(), plain_set()));
    (1..=u32::MAX, mod_seq(), numbers(), pair).prop_map(|(uid_validity, mod_seq, uids, pair)| {
        Qresync {
            uid_validity: UidValidity::new(uid_validity).unwrap(),
            mod_seq,
            known_uids: uids,
            match_data: pair,
        }
    })
}

fn url_form() -> impl Strategy<Value = UrlForm> {
    prop_oneof![Just(UrlForm::Body), Just(UrlForm::Binary)]
}

fn url_data() -> impl Strategy<Value = UrlData> {
    let data = prop_oneof![Just(BodyData::Nil), vec(any::<u8>(), 0..20).prop_map(BodyData::Bytes)];
    let content = prop_oneof![
        data.prop_map(UrlContent::Plain),
        (url_form(), vec(any::<u8>(), 0..20), any::<bool>()).prop_map(|(form, octets, has_nul)| {
            let content = Some((form, BodyData::Bytes(octets)));
            UrlContent::Metadata { structure: None, content, has_nul }
        }),
    ];
    (bytes(), content).prop_map(|(url, content)| UrlData { url, content })
}

fn replace() -> impl Strategy<Value = Replace> {
    let target = prop_oneof![Just(SeqBound::Last), (1..u32::MAX).prop_map(SeqBound::Number)];
    (numbering(), target, append()).prop_map(|(numbering, target, mut append)| {
        let message = append.messages.remove(0);
        Replace { numbering, target, mailbox: append.mailbox, message }
    })
}

fn append() -> impl Strategy<Value = Append> {
    let form =
        prop_oneof![Just(AppendForm::Plain), Just(AppendForm::Binary), Just(AppendForm::Utf8)];
    let literal = || (form.clone(), vec(any::<u8>(), 0..40).prop_map(Literal::Inline));
    let part = prop_oneof![
        literal().prop_map(|(form, data)| CatPart::Text { form, data }),
        bytes().prop_map(CatPart::Url),
    ];
    let data = prop_oneof![
        literal().prop_map(|(form, data)| AppendPayload::Literal { form, data }),
        vec(part, 1..4).prop_map(AppendPayload::Catenate),
    ];
    let annotations = prop_oneof![Just(Vec::new()), annotation_settings()];
    let message = (flag_list(), option::of(date()), (annotations, data)).prop_map(
        |(flags, date, (annotations, data))| AppendMessage { flags, date, annotations, data },
    );
    (mailbox(), vec(message, 1..3)).prop_map(|(mailbox, messages)| Append { mailbox, messages })
}

fn login() -> impl Strategy<Value = CommandBody> {
    (bytes(), bytes())
        .prop_map(|(user, pw)| CommandBody::Login(Login { user, password: Secret::new(pw) }))
}

fn search(key: BoxedStrategy<SearchKey>) -> impl Strategy<Value = CommandBody> {
    let charset = option::of("[A-Z0-9-]{1,10}");
    let returns = option::of(vec(
        prop_oneof![
            Just(SearchReturn::Min),
            Just(SearchReturn::Max),
            Just(SearchReturn::All),
            Just(SearchReturn::Count),
            Just(SearchReturn::Save),
            partial_range().prop_map(SearchReturn::Partial),
            Just(SearchReturn::Relevancy),
            Just(SearchReturn::Context),
            vec(fetch_item(), 0..3).prop_map(SearchReturn::Update),
        ],
        0..4,
    ));
    (numbering(), returns, charset, vec(nested(key), 1..4)).prop_map(
        |(numbering, returns, charset, keys)| {
            CommandBody::Search(Search { numbering, returns, charset, keys })
        },
    )
}

fn sort_or_thread(key: BoxedStrategy<SearchKey>) -> impl Strategy<Value = CommandBody> {
    let key_of = prop_oneof![
        3 => proptest::sample::select(SortKey::WORDS.to_vec()),
        1 => (annotation_name(), annotation_scope())
            .prop_map(|(name, scope)| SortKey::Annotation(name, scope)),
    ];
    let criterion =
        (key_of, any::<bool>()).prop_map(|(key, reverse)| SortCriterion { key, reverse });
    let algorithm = proptest::sample::select(ThreadAlgorithm::ALL.to_vec());
    let criteria = vec(criterion, 1..4);
    (search(key), criteria, algorithm, any::<bool>()).prop_map(
        |(body, criteria, algorithm, is_sort)| {
            let CommandBody::Search(search) = body else { unreachable!("made as a search") };
            // That one is for SEARCH only.
            let is_served = |option: &SearchReturn| *option != SearchReturn::Relevancy;
            let charset = search.charset.or(Some("UTF-8".to_owned()));
            let returns = search.returns.map(|r| r.into_iter().filter(is_served).collect());
            let search = Search { charset, returns, ..search };
            if is_sort {
                CommandBody::Sort(Sort { criteria, search })
            } else {
                CommandBody::Thread(Thread {
                    algorithm,
                    search: Search { returns: None, ..search },
                })
            }
        },
    )
}

fn partial_range() -> impl Strategy<Value = PartialRange> {
    let from = prop_oneof![Just(ResultEnd::Oldest), Just(ResultEnd::Newest)];
    (from, 1..=u32::MAX, 1..=u32::MAX).prop_map(|(from, first, last)| PartialRange {
        from,
        first,
        last,
    })
}

fn multi_search() -> impl Strategy<Value = CommandBody> {
    let names = || vec(mailbox(), 1..3);
    let source = prop_oneof![
        Just(SearchSource::Selected),
        Just(SearchSource::Inboxes),
        Just(SearchSource::Personal),
        Just(SearchSource::Subscribed),
        names().prop_map(SearchSource::Subtree),
        names().prop_map(SearchSource::SubtreeOne),
        names().prop_map(SearchSource::Mailboxes),
    ];
    let search = search(prop_oneof![old_key(), new_key()].boxed());
    (option::of(vec(source, 1..3)), search).prop_map(|(sources, search)| {
        let CommandBody::Search(search) = search else { panic!("no search") };
        let search = Search { numbering: Numbering::Uid, ..search };
        CommandBody::MultiSearch(MultiSearch { sources, search })
    })
}

fn any_select() -> impl Strategy<Value = Select> {
    (mailbox(), any::<bool>(), any::<bool>(), option::of(qresync())).prop_map(
        |(mailbox, condstore, annotate, qresync)| Select { mailbox, condstore, annotate, qresync },
    )
}

fn store_annotation() -> impl Strategy<Value = CommandBody> {
    (numbering(), set(), option::of(mod_seq()), annotation_settings()).prop_map(
        |(numbering, set, unchanged_since, settings)| {
            CommandBody::StoreAnnotation(StoreAnnotation {
                numbering,
                set,
                unchanged_since,
                settings,
            })
        },
    )
}

fn language_or_batches() -> impl Strategy<Value = CommandBody> {
    let number = || 1..=u32::MAX;
    prop_oneof![
        vec("[a-z]{1,8}(-[a-z0-9]{1,8}){0,2}|\\*", 0..4).prop_map(CommandBody::Language),
        (number(), option::of((number(), number())))
            .prop_map(|(size, range)| CommandBody::UidBatches(UidBatches { size, range })),
    ]
}

fn any_body() -> impl Strategy<Value = CommandBody> {
    let keys = || prop_oneof![old_key(), new_key()].boxed();
    let modifiers = (option::of(mod_seq()), any::<bool>(), option::of(partial_range()));
    let fetch = (numbering(), set(), vec(fetch_item(), 1..5), modifiers).prop_map(
        |(numbering, set, items, (changed_since, vanished, partial))| {
            CommandBody::Fetch(Fetch { numbering, set, items, changed_since, vanished, partial })
        },
    );
    let uses = vec("\\\\[A-Z][a-z]{3,8}".prop_map(|name| UseAttribute::from_name(&name)), 0..3);
    prop_oneof![
        2 => notify().prop_map(CommandBody::Notify),
        4 => search(keys()),
        2 => sort_or_thread(keys()),
        2 => multi_search(),
        1 => vec("[A-Za-z0-9.]{1,8}", 1..4).prop_map(CommandBody::CancelUpdate),
        4 => fetch,
        2 => list().prop_map(CommandBody::List),
        2 => append().prop_map(CommandBody::Append),
        1 => any_select().prop_map(CommandBody::Select),
        1 => any_select().prop_map(CommandBody::Examine),
        1 => (mailbox(), uses).prop_map(|(mailbox, special_use)| {
            CommandBody::Create(Create { mailbox, special_use })
        }),
        1 => option::of(vec((bytes(), option::of(bytes())), 0..3)).prop_map(CommandBody::Id),
        1 => (store(set()), option::of(mod_seq())).prop_map(|(store, unchanged_since)| {
            CommandBody::Store(Store { unchanged_since, ..store })
        }),
        1 => store_annotation(),
        1 => Just(CommandBody::StartTls),
        1 => Just(CommandBody::Namespace),
        1 => language_or_batches(),
        1 => copy_move().prop_map(CommandBody::Copy),
        1 => copy_move().prop_map(CommandBody::Move),
        1 => replace().prop_map(CommandBody::Replace),
        1 => vec((bytes(), "[A-Z.-]{1,9}"), 1..3).prop_map(|rumps| {
            let rump = |(url, mechanism)| UrlRump { url, mechanism };
            CommandBody::GenUrlAuth(rumps.into_iter().map(rump).collect())
        }),
        1 => option::of((mailbox(), vec("[A-Z.-]{1,9}", 0..3))).prop_map(|reset| {
            let (mailbox, mechanisms) = reset.map_or((None, Vec::new()), |(m, all)| (Some(m), all));
            CommandBody::ResetKey(ResetKey { mailbox, mechanisms })
        }),
        1 => vec((bytes(), any::<bool>(), option::of(url_form())), 1..3).prop_map(|urls| {
            let fetch = |(url, structure, content)| {
                UrlFetch { url, params: UrlParams { structure, content } }
            };
            CommandBody::UrlFetch(urls.into_iter().map(fetch).collect())
        }),
        1 => set().prop_map(CommandBody::UidExpunge),
        1 => get_metadata(),
        1 => (mailbox(), metadata_entries()).prop_map(|(mailbox, entries)| {
            CommandBody::SetMetadata(SetMetadata { mailbox, entries })
        }),
        5 => acl_body(),
        1 => bytes().prop_map(CommandBody::GetQuota),
        1 => mailbox().prop_map(CommandBody::GetQuotaRoot),
        1 => (bytes(), vec(limit(), 0..4))
            .prop_map(|(root, limits)| CommandBody::SetQuota(SetQuota { root, limits })),
        1 => (mailbox(), status_items())
            .prop_map(|(mailbox, items)| CommandBody::Status(StatusCommand { mailbox, items })),
        4 => covered_body(),
    ]
}

fn notify() -> impl Strategy<Value = Notify> {
    let filter = prop_oneof![
        Just(MailboxFilter::Selected),
        Just(MailboxFilter::SelectedDelayed),
        Just(MailboxFilter::Inboxes),
        Just(MailboxFilter::Personal),
        Just(MailboxFilter::Subscribed),
        vec(mailbox(), 1..3).prop_map(MailboxFilter::Subtree),
        vec(mailbox(), 1..3).prop_map(MailboxFilter::Mailboxes),
    ];
    let event = prop_oneof![
        vec(fetch_item(), 0..3).prop_map(Event::MessageNew),
        Just(Event::MessageExpunge),
        Just(Event::FlagChange),
        Just(Event::ServerMetadataChange),
        "X-[A-Z]{1,8}".prop_map(Event::Other),
    ];
    let group =
        (filter, vec(event, 0..4)).prop_map(|(filter, events)| EventGroup { filter, events });
    prop_oneof![
        1 => Just(Notify::None),
        9 => (any::<bool>(), vec(group, 1..4))
            .prop_map(|(status, groups)| Notify::Set { status, groups }),
    ]
}

/// What the independent implementation covers.
fn covered_body() -> impl Strategy<Value = CommandBody> {
    let plain = vec![
        CommandBody::Capability,
        CommandBody::Noop,
        CommandBody::Logout,
        CommandBody::Idle,
        CommandBody::Close,
        CommandBody::Unselect,
        CommandBody::Check,
        CommandBody::Expunge,
    ];
    let select = |mailbox| Select { mailbox, condstore: false, annotate: false, qresync: None };
    let fetch_items = prop_oneof![
        Just(FetchItem::Uid),
        Just(FetchItem::Flags),
        Just(FetchItem::Envelope),
        Just(FetchItem::BodyStructure),
        Just(FetchItem::Rfc822Header),
        Just(FetchItem::Rfc822(Peek::SetSeen)),
        Just(FetchItem::Section {
            section: Section { part: vec![1, 2], text: Some(SectionText::Mime) },
            partial: Some(Partial { offset: 0, length: 65_536 }),
            peek: Peek::Peek,
        }),
    ];
    prop_oneof![
        2 => proptest::sample::select(plain),
        1 => login(),
        1 => vec(any::<u8>(), 0..20).prop_map(|bytes| CommandBody::Authenticate(Authenticate {
            mechanism: "PLAIN".to_owned(),
            initial: Some(Secret::new(bytes)),
        })),
        1 => mailbox().prop_map(move |m| CommandBody::Select(select(m))),
        1 => mailbox().prop_map(CommandBody::Delete),
        1 => mailbox().prop_map(CommandBody::Subscribe),
        1 => mailbox().prop_map(CommandBody::Unsubscribe),
        1 => (mailbox(), mailbox())
            .prop_map(|(from, to)| CommandBody::Rename(Rename { from, to })),
        1 => (mailbox(), bytes()).prop_map(|(reference, pattern)| {
            CommandBody::Lsub(Lsub { reference, pattern: ListPattern::from_wire(pattern) })
        }),
        1 => plain_set().prop_map(CommandBody::UidExpunge),
        1 => store(plain_set()).prop_map(CommandBody::Store),
        2 => (numbering(), vec(nested(old_key().boxed()), 1..4)).prop_map(|(numbering, keys)| {
            CommandBody::Search(Search { numbering, returns: None, charset: None, keys })
        }),
        1 => (numbering(), plain_set(), vec(fetch_items, 1..4)).prop_map(
            |(numbering, set, items)| CommandBody::Fetch(Fetch {
                numbering, set, items, changed_since: None, vanished: false, partial: None
            })
        ),
        1 => (mailbox(), flags(), date(), vec(1_u8..=255, 0..20)).prop_map(
            |(mailbox, flags, date, octets)| CommandBody::Append(Append {
                mailbox,
                messages: vec![AppendMessage {
                    flags: flags.into(),
                    date: Some(date),
                    annotations: Vec::new(),
                    data: AppendPayload::Literal {
                        form: AppendForm::Plain,
                        data: Literal::Inline(octets),
                    },
                }],
            })
        ),
    ]
}

fn options() -> impl Strategy<Value = ClientOptions> {
    let encoding = prop_oneof![Just(NameEncoding::Utf8), Just(NameEncoding::ModifiedUtf7)];
    let literals = prop_oneof![
        Just(LiteralSupport::Ask),
        Just(LiteralSupport::Minus),
        Just(LiteralSupport::Plus)
    ];
    (encoding, literals).prop_map(|(encoding, literals)| ClientOptions { encoding, literals })
}

fn command_bytes(command: &Command, options: ClientOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in serialize::command(command, options) {
        match chunk {
            Chunk::Bytes(piece) => bytes.extend_from_slice(&piece),
            Chunk::Continuation => {
                assert_ne!(options.literals, LiteralSupport::Plus);
                assert!(bytes.ends_with(b"}\r\n"));
            }
            Chunk::Message { .. } => panic!("nothing was to be streamed"),
        }
    }
    bytes
}

fn line(bytes: &[u8]) -> Frame<'_> {
    Frame::whole(bytes.strip_suffix(b"\r\n").expect("a line break at the end"))
}

fn nstring() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(bytes())
}

fn addresses() -> impl Strategy<Value = Vec<Address>> {
    let address = (nstring(), nstring(), nstring(), nstring())
        .prop_map(|(name, adl, mailbox, host)| Address { name, adl, mailbox, host });
    vec(address, 0..3)
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let texts = (nstring(), nstring(), nstring(), nstring());
    (texts, proptest::array::uniform6(addresses())).prop_map(
        |((date, subject, in_reply_to, message_id), [from, sender, reply_to, to, cc, bcc])| {
            Envelope { date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id }
        },
    )
}

fn params() -> impl Strategy<Value = Vec<Param>> {
    vec((bytes(), bytes()).prop_map(|(name, value)| Param { name, value }), 0..3)
}

fn extension() -> impl Strategy<Value = ExtensionFields> {
    let disposition =
        option::of((bytes(), params()).prop_map(|(kind, params)| Disposition { kind, params }));
    (disposition, vec(bytes(), 0..3), nstring()).prop_map(|(disposition, language, location)| {
        ExtensionFields { disposition, language, location }
    })
}

fn fields() -> impl Strategy<Value = BodyFields> {
    (params(), nstring(), nstring(), "[a-z0-9-]{1,9}", 0..=u64::from(u32::MAX)).prop_map(
        |(params, id, description, encoding, octets)| BodyFields {
            params,
            id,
            description,
            encoding: encoding.into_bytes(),
            octets,
        },
    )
}

fn structure() -> impl Strategy<Value = BodyStructure> {
    let text = (bytes(), fields(), 0_u64..1000, nstring(), extension()).prop_map(
        |(subtype, fields, lines, md5, extension)| BodyStructure::Text {
            subtype,
            fields,
            lines,
            md5,
            extension,
        },
    );
    let basic = ("[a-z]{3,9}", bytes(), fields(), nstring(), extension())
        .prop_filter("of no other kind", |(kind, ..)| kind != "text" && kind != "message")
        .prop_map(|(kind, subtype, fields, md5, extension)| BodyStructure::Basic {
            kind: kind.into_bytes(),
            subtype,
            fields,
            md5,
            extension,
        });
    prop_oneof![text, basic].prop_recursive(3, 8, 3, |inner| {
        let message = (fields(), envelope(), inner.clone(), 0_u64..99, nstring(), extension())
            .prop_map(|(fields, envelope, body, lines, md5, extension)| BodyStructure::Message {
                subtype: b"RFC822".to_vec(),
                fields,
                envelope: Box::new(envelope),
                body: Box::new(body),
                lines,
                md5,
                extension,
            });
        let multipart = (vec(inner, 1..4), bytes(), params(), extension()).prop_map(
            |(parts, subtype, params, extension)| BodyStructure::Multipart {
                parts,
                subtype,
                params,
                extension,
            },
        );
        prop_oneof![message, multipart]
    })
}

fn body_data() -> impl Strategy<Value = BodyData> {
    prop_oneof![
        1 => Just(BodyData::Nil),
        4 => vec(any::<u8>(), 0..50).prop_map(BodyData::Bytes),
    ]
}

fn attribute() -> impl Strategy<Value = FetchAttribute> {
    let origin = || option::of(0..=i64::MAX as u64);
    prop_oneof![
        (1..=u32::MAX).prop_map(|n| FetchAttribute::Uid(Uid::new(n).unwrap())),
        flag_list().prop_map(FetchAttribute::Flags),
        date().prop_map(FetchAttribute::InternalDate),
        (0..=i64::MAX as u64).prop_map(FetchAttribute::Rfc822Size),
        envelope().prop_map(|e| FetchAttribute::Envelope(Box::new(e))),
        structure().prop_map(|s| FetchAttribute::BodyStructure(Box::new(s))),
        (section(), origin(), body_data())
            .prop_map(|(section, origin, data)| FetchAttribute::Section { section, origin, data }),
        body_data().prop_map(FetchAttribute::Rfc822),
        body_data().prop_map(FetchAttribute::Rfc822Header),
        body_data().prop_map(FetchAttribute::Rfc822Text),
        (part(), origin(), body_data()).prop_map(|(part, origin, data)| FetchAttribute::Binary {
            part,
            origin,
            data
        }),
        (part(), 0..=i64::MAX as u64)
            .prop_map(|(part, size)| FetchAttribute::BinarySize { part, size }),
        mod_seq().prop_map(FetchAttribute::ModSeq),
        object_id().prop_map(FetchAttribute::EmailId),
        option::of(object_id()).prop_map(FetchAttribute::ThreadId),
        option::of(date()).prop_map(FetchAttribute::SaveDate),
        option::of("\\PC{0,20}").prop_map(FetchAttribute::Preview),
        annotation_data().prop_map(FetchAttribute::Annotation),
    ]
}

fn code() -> impl Strategy<Value = Code> {
    let validity = || (1..=u32::MAX).prop_map(|n| UidValidity::new(n).unwrap());
    let bare = vec![
        Code::Alert,
        Code::TooFew,
        Code::TooMany,
        Code::TryCreate,
        Code::UnknownCte,
        Code::ReadOnly,
        Code::Closed,
    ];
    prop_oneof![
        proptest::sample::select(bare),
        (validity(), plain_set())
            .prop_map(|(uid_validity, uids)| Code::AppendUid { uid_validity, uids }),
        (validity(), plain_set(), plain_set()).prop_map(|(uid_validity, source, target)| {
            Code::CopyUid { uid_validity, source, target }
        }),
        vec("[A-Z0-9-]{1,9}", 0..3).prop_map(Code::BadCharset),
        "[!-\\\\^-~]{1,20}".prop_map(Code::BadUrl),
        vec("[A-Z=-]{1,9}", 0..3).prop_map(Code::UrlMech),
        vec("[A-Z0-9=-]{1,9}".prop_map(Capability::from), 0..4).prop_map(Code::Capability),
        Just(Code::InProgress(None)),
        vec("[A-Za-z]{1,9}", 1..4).prop_map(Code::BadEvent),
        (1..=u32::MAX, option::of(1..=u32::MAX)).prop_map(|(limit, lowest)| {
            Code::MessageLimit { limit, lowest: lowest.and_then(Uid::new) }
        }),
        (option::of("[A-Z0-9.]{1,9}"), option::of(any::<u32>()), option::of(any::<u32>()))
            .prop_map(|(tag, done, goal)| Code::InProgress(Some(Progress { tag, done, goal }))),
        mod_seq().prop_map(Code::HighestModSeq),
        "[A-Za-z0-9.]{1,8}".prop_map(Code::NoUpdate),
        object_id().prop_map(Code::MailboxId),
        filter_name().prop_map(Code::UndefinedFilter),
        any::<u32>().prop_map(Code::MetadataLongEntries),
        any::<u32>().prop_map(Code::MetadataMaxSize),
        Just(Code::AnnotateTooBig),
        Just(Code::AnnotateTooMany),
        annotation_support().prop_map(Code::Annotations),
        Just(Code::MetadataNoPrivate),
        Just(Code::MetadataTooMany),
        plain_set().prop_map(Code::Modified),
        flag_list().prop_map(Code::PermanentFlags),
        validity().prop_map(Code::UidValidity),
        ("X[A-Z]{3}", option::of("[a-z ]{1,9}"))
            .prop_map(|(name, arguments)| Code::Other { name, arguments }),
    ]
}

fn status() -> impl Strategy<Value = Response> {
    let kind = prop_oneof![Just(StatusKind::Ok), Just(StatusKind::No), Just(StatusKind::Bad)];
    (option::of("[A-Za-z0-9.]{1,8}"), kind, option::of(code()), "[a-zA-Z .]{1,20}").prop_map(
        |(tag, kind, code, text)| {
            let target = match tag {
                Some(tag) => StatusTarget::Tagged(Tag::new(&tag).unwrap()),
                None => StatusTarget::Untagged,
            };
            Response::Status(Status { target, kind, code, text: text.into() })
        },
    )
}

fn list_reply() -> impl Strategy<Value = ListReply> {
    let attribute = "\\\\[A-Z][a-z]{3,9}".prop_map(|name| ListAttribute::from_name(&name));
    let delimiter = option::of(prop_oneof![Just('/'), Just('.'), Just('\\'), Just('"')]);
    (vec(attribute, 0..4), delimiter, mailbox(), vec("[A-Z]{3,9}", 0..2), option::of(mailbox()))
        .prop_map(|(attributes, delimiter, mailbox, child_info, old_name)| ListReply {
            attributes,
            delimiter,
            mailbox,
            child_info,
            old_name,
        })
}

fn status_reply() -> impl Strategy<Value = StatusReply> {
    let value = prop_oneof![
        any::<u32>().prop_map(StatusValue::Messages),
        any::<u32>().prop_map(StatusValue::Deleted),
        (0..=i64::MAX as u64).prop_map(StatusValue::Size),
        option::of(0..=i64::MAX as u64).prop_map(StatusValue::AppendLimit),
        object_id().prop_map(StatusValue::MailboxId),
        mod_seq().prop_map(StatusValue::HighestModSeq),
    ];
    (mailbox(), vec(value, 0..5)).prop_map(|(mailbox, values)| StatusReply { mailbox, values })
}

fn esearch() -> impl Strategy<Value = Esearch> {
    let number = || option::of(1..=u32::MAX);
    let tag = option::of("[A-Za-z0-9.]{1,8}");
    let found = (number(), number(), option::of(any::<u32>()));
    let partial = (partial_range(), option::of(plain_set()))
        .prop_map(|(range, found)| PartialResult { range, found });
    let source = (mailbox(), (1..=u32::MAX).prop_map(|n| UidValidity::new(n).unwrap()));
    let positions = || vec((any::<u32>(), plain_set()), 1..3);
    let update = prop_oneof![
        positions().prop_map(SearchUpdate::AddTo),
        positions().prop_map(SearchUpdate::RemoveFrom),
    ];
    let scores = option::of(vec(1_u8..=100, 0..4));
    let new = (option::of(source), option::of(partial), scores, vec(update, 0..3));
    let all = (option::of(plain_set()), option::of(mod_seq()));
    (tag, numbering(), found, all, new).prop_map(
        |(tag, numbering, (min, max, count), (all, mod_seq), new)| {
            let (source, partial, relevancy, updates) = new;
            Esearch {
                tag,
                source,
                numbering,
                min,
                max,
                count,
                all,
                partial,
                relevancy,
                mod_seq,
                updates,
            }
        },
    )
}

fn uid() -> impl Strategy<Value = Uid> {
    (1..=u32::MAX).prop_map(|n| Uid::new(n).unwrap())
}

fn any_response() -> impl Strategy<Value = Response> {
    let delimiter = option::of(prop_oneof![Just('/'), Just('.')]);
    let entry = (mailbox(), delimiter, option::of(mailbox())).prop_map(
        |(prefix, delimiter, translation)| NamespaceEntry { prefix, delimiter, translation },
    );
    let namespaces =
        proptest::array::uniform3(vec(entry, 0..3)).prop_map(|[personal, other_users, shared]| {
            NamespaceReply { personal, other_users, shared }
        });
    let seq = || (1..=u32::MAX).prop_map(|n| SeqNum::new(n).unwrap());
    prop_oneof![
        4 => (seq(), vec(attribute(), 0..4))
            .prop_map(|(seq, attributes)| Response::Fetch { seq, attributes }),
        1 => ((1..=u32::MAX).prop_map(|n| Uid::new(n).unwrap()), vec(attribute(), 0..4))
            .prop_map(|(uid, attributes)| Response::UidFetch { uid, attributes }),
        3 => status(),
        1 => list_reply().prop_map(Response::List),
        1 => list_reply().prop_map(Response::Lsub),
        1 => namespaces.prop_map(Response::Namespace),
        1 => ("[A-Za-z0-9.]{1,8}", vec((uid(), uid()), 0..4))
            .prop_map(|(tag, batches)| Response::UidBatches(UidBatchesReply { tag, batches })),
        1 => vec("[a-z]{1,8}(-[a-z0-9]{1,8}){0,2}", 1..4).prop_map(Response::Language),
        1 => status_reply().prop_map(Response::StatusData),
        1 => metadata_reply().prop_map(Response::Metadata),
        1 => (mailbox(), vec((identifier(), rights()), 0..4))
            .prop_map(|(mailbox, entries)| Response::Acl(AclReply { mailbox, entries })),
        1 => list_rights_reply().prop_map(Response::ListRights),
        1 => (mailbox(), rights())
            .prop_map(|(mailbox, rights)| Response::MyRights(MyRightsReply { mailbox, rights })),
        1 => quota_reply().prop_map(Response::Quota),
        1 => (mailbox(), vec(bytes(), 0..3)).prop_map(|(mailbox, roots)| {
            Response::QuotaRoot(QuotaRootReply { mailbox, roots })
        }),
        1 => esearch().prop_map(Response::Esearch),
        1 => (vec(1..=u32::MAX, 1..5), option::of(mod_seq()))
            .prop_map(|(numbers, mod_seq)| Response::Search { numbers, mod_seq }),
        1 => any::<u32>().prop_map(Response::Exists),
        1 => seq().prop_map(Response::Expunge),
        1 => vec(bytes(), 1..3).prop_map(Response::GenUrlAuth),
        1 => vec(url_data(), 1..3).prop_map(Response::UrlFetch),
        1 => (any::<bool>(), plain_set())
            .prop_map(|(earlier, uids)| Response::Vanished { earlier, uids }),
        1 => flag_list().prop_map(Response::Flags),
        1 => option::of(vec((bytes(), option::of(bytes())), 0..3)).prop_map(Response::Id),
    ]
}

#[test]
fn commands_are_read_as_they_were_written() {
    on_a_large_stack(check_commands_are_read_as_they_were_written);
}

#[test]
fn responses_are_read_as_they_were_written() {
    on_a_large_stack(check_responses_are_read_as_they_were_written);
}

#[test]
fn names_have_one_spelling_in_modified_utf7() {
    on_a_large_stack(check_names_have_one_spelling_in_modified_utf7);
}

#[test]
fn another_implementation_reads_our_commands_and_we_read_its() {
    on_a_large_stack(check_another_implementation_reads_our_commands_and_we_read_its);
}

#[test]
fn another_implementation_reads_our_structures_and_we_read_its() {
    on_a_large_stack(check_another_implementation_reads_our_structures_and_we_read_its);
}

#[test]
fn any_bytes_are_a_value_or_an_error() {
    on_a_large_stack(check_any_bytes_are_a_value_or_an_error);
}

/// The other implementation's parser is deeply recursive when it is not optimized.
fn on_a_large_stack(check: fn()) {
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(check).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    })]

    fn check_commands_are_read_as_they_were_written(body in any_body(), options in options()) {
        let command = Command { tag: Tag::new("a1.x").unwrap(), body };
        let bytes = command_bytes(&command, options);
        prop_assert_eq!(parse::command(line(&bytes)), Ok(command), "{}", bytes.escape_ascii());
    }

    fn check_responses_are_read_as_they_were_written(response in any_response(), utf8 in any::<bool>()) {
        let encoding = if utf8 { NameEncoding::Utf8 } else { NameEncoding::ModifiedUtf7 };
        let mut bytes = Vec::new();
        serialize::response(&response, encoding, &mut bytes);
        prop_assert_eq!(parse::response(line(&bytes)), Ok(response), "{}", bytes.escape_ascii());
    }

    fn check_names_have_one_spelling_in_modified_utf7(name in "\\PC{0,12}", noise in vec(any::<u8>(), 0..12)) {
        let wire = imap_proto::utf7::encode(&name);
        prop_assert_eq!(imap_proto::utf7::decode(wire.as_bytes()), Some(name));
        if let Some(text) = imap_proto::utf7::decode(&noise) {
            let again = imap_proto::utf7::encode(&text);
            prop_assert_eq!(again.as_bytes(), &noise[..]);
        }
    }

    fn check_another_implementation_reads_our_commands_and_we_read_its(body in covered_body()) {
        let command = Command { tag: Tag::new("a1").unwrap(), body };
        let options =
            ClientOptions { encoding: NameEncoding::ModifiedUtf7, literals: LiteralSupport::Plus };
        let bytes = command_bytes(&command, options);
        let theirs = CommandCodec::default().decode(&bytes);
        let (rest, theirs) = theirs.unwrap_or_else(|e| panic!("{e:?}: {}", bytes.escape_ascii()));
        prop_assert!(rest.is_empty());
        let again = CommandCodec::default().encode(&theirs).dump();
        prop_assert_eq!(parse::command(line(&again)), Ok(command), "{}", again.escape_ascii());
    }

    fn check_another_implementation_reads_our_structures_and_we_read_its(
        envelope in envelope(), structure in structure(), flags in flags(),
    ) {
        let attributes = vec![
            FetchAttribute::Flags(flags.into()),
            FetchAttribute::Envelope(Box::new(envelope)),
            FetchAttribute::BodyStructure(Box::new(structure)),
        ];
        let response = Response::Fetch { seq: SeqNum::MIN, attributes };
        let mut bytes = Vec::new();
        serialize::response(&response, NameEncoding::ModifiedUtf7, &mut bytes);
        let theirs = ResponseCodec::default().decode(&bytes);
        let (rest, theirs) = theirs.unwrap_or_else(|e| panic!("{e:?}: {}", bytes.escape_ascii()));
        prop_assert!(rest.is_empty());
        let again = ResponseCodec::default().encode(&theirs).dump();
        let read = parse::response(line(&again));
        prop_assert_eq!(read, Ok(response), "{}", again.escape_ascii());
    }

    fn check_any_bytes_are_a_value_or_an_error(noise in vec(any::<u8>(), 0..60), text in "[a-z0-9 (){}\\[\\]\"\\\\.:,*$+<>\r\n-]{0,60}") {
        let _ = parse::command(Frame::whole(&noise));
        let _ = parse::response(Frame::whole(&noise));
        for prefix in ["a uid fetch ", "a search ", "a list ", "a append x ", "* 1 fetch (", "* list ", "* ok [", "* esearch "] {
            let line = format!("{prefix}{text}");
            let _ = parse::command(Frame::whole(line.as_bytes()));
            let _ = parse::response(Frame::whole(line.as_bytes()));
        }
    }
}
