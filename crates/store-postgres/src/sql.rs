//! The statement of a commit.

/// A whole commit: one round trip, all or nothing.
///
/// | parameter | what |
/// |---|---|
/// | 1, 2, 3 | slot, its epoch, number of this commit within it |
/// | 4, 5, 6 | keys of conditions, kinds (0 absent, 1 present, 2 value), values |
/// | 7, 8 | scopes and ids of leased blobs that must be recorded already |
/// | 9 to 14 | blobs to record: scope, id, size, stored bytes, body, object |
/// | 15, 16 | keys and values to put |
/// | 17 | keys to delete |
///
/// Every part sees the state just before the commit; `go` has a row only if all may happen. A blob
/// that is recorded already is only named anew: its body stays as it is.
pub(crate) const COMMIT: &str = "
WITH slot AS MATERIALIZED (
    SELECT id FROM pillarbox_slots WHERE id = $1::bigint AND epoch = $2::bigint
), failed AS MATERIALIZED (
    SELECT min(c.n) AS n
    FROM unnest($4::bytea[], $5::int[], $6::bytea[]) WITH ORDINALITY AS c(key, kind, value, n)
    LEFT JOIN pillarbox_rows r ON r.key = c.key
    WHERE CASE c.kind
        WHEN 0 THEN r.key IS NOT NULL
        WHEN 1 THEN r.key IS NULL
        ELSE r.key IS NULL OR r.value <> c.value
    END
), missing AS MATERIALIZED (
    SELECT min(l.n) AS n
    FROM unnest($7::bytea[], $8::bytea[]) WITH ORDINALITY AS l(scope, id, n)
    LEFT JOIN pillarbox_blobs b ON b.scope = l.scope AND b.id = l.id
    WHERE b.id IS NULL
), go AS MATERIALIZED (
    SELECT nextval('pillarbox_commit_no') AS number FROM slot
    WHERE (SELECT n FROM failed) IS NULL AND (SELECT n FROM missing) IS NULL
), used AS (
    UPDATE pillarbox_slots s SET op = $3::bigint, number = go.number, used_at = now()
    FROM go WHERE s.id = $1::bigint
), named AS (
    UPDATE pillarbox_blobs b SET named_at = go.number
    FROM go, unnest($7::bytea[], $8::bytea[]) AS l(scope, id)
    WHERE b.scope = l.scope AND b.id = l.id
), recorded AS (
    INSERT INTO pillarbox_blobs (scope, id, size, stored_bytes, named_at, body, object)
    SELECT f.scope, f.id, f.size, f.stored_bytes, go.number, f.body, f.object
    FROM go, unnest($9::bytea[], $10::bytea[], $11::bigint[], $12::bigint[], $13::bytea[],
        $14::text[]) AS f(scope, id, size, stored_bytes, body, object)
    ON CONFLICT (scope, id) DO UPDATE SET named_at = excluded.named_at
    RETURNING object
), put AS (
    INSERT INTO pillarbox_rows (key, value)
    SELECT p.key, p.value FROM go, unnest($15::bytea[], $16::bytea[]) AS p(key, value)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
), deleted AS (
    DELETE FROM pillarbox_rows r USING go, unnest($17::bytea[]) AS d(key) WHERE r.key = d.key
)
SELECT (SELECT count(*) FROM slot), (SELECT n FROM failed), (SELECT n FROM missing),
    (SELECT number FROM go),
    (SELECT array_agg(object) FROM recorded WHERE object IS NOT NULL)";

/// More of a large commit, in the transaction of [`COMMIT`], whose number is the first parameter;
/// then blobs to record, keys and values to put, keys to delete.
pub(crate) const MORE: &str = "
WITH recorded AS (
    INSERT INTO pillarbox_blobs (scope, id, size, stored_bytes, named_at, body, object)
    SELECT f.scope, f.id, f.size, f.stored_bytes, $1::bigint, f.body, f.object
    FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[])
        AS f(scope, id, size, stored_bytes, body, object)
    ON CONFLICT (scope, id) DO UPDATE SET named_at = excluded.named_at
    RETURNING object
), put AS (
    INSERT INTO pillarbox_rows (key, value)
    SELECT p.key, p.value FROM unnest($8::bytea[], $9::bytea[]) AS p(key, value)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
), deleted AS (
    DELETE FROM pillarbox_rows r USING unnest($10::bytea[]) AS d(key) WHERE r.key = d.key
)
SELECT array_agg(object) FROM recorded WHERE object IS NOT NULL";

/// A slot of a new connection.
pub(crate) const NEW_SLOT: &str = "INSERT INTO pillarbox_slots DEFAULT VALUES RETURNING id";

/// Takes the slot of a lost connection over: waits for its transaction, shuts out one that has not
/// begun, and tells the last commit that happened.
pub(crate) const TAKE_OVER: &str = "UPDATE pillarbox_slots SET epoch = epoch + 1
    WHERE id = $1 RETURNING op, number";
