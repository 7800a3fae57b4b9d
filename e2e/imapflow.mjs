// What test_imapflow.py asks ImapFlow to do. Arguments: port, user, password, scenario. Prints one
// JSON object; anything that ImapFlow calls an error ends it with 1.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.PILLARBOX_NODE, "package.json"));
const { ImapFlow } = require("imapflow");
const [port, user, pass, scenario] = process.argv.slice(2);

const log = [];
const client = new ImapFlow({
  host: "127.0.0.1",
  port: Number(port),
  secure: false,
  doSTARTTLS: false,
  auth: { user, pass },
  qresync: scenario === "resync",
  logger: {
    debug: (entry) => log.push(entry),
    info: (entry) => log.push(entry),
    warn: (entry) => log.push({ ...entry, trouble: true }),
    error: (entry) => log.push({ ...entry, trouble: true }),
  },
});
const mail = (number) =>
  `Subject: Berth ${number}\r\nFrom: office@harbour.example\r\nMessage-ID: <f${number}@harbour.example>\r\n\r\n` +
  `Berth ${number} is free.\r\n`;

const scenarios = {
  async tree() {
    await client.mailboxCreate(["Projects", "Boathouse"]);
    await client.mailboxCreate("Pläne");
    await client.mailboxRename("Projects", "Plans");
    await client.mailboxSubscribe("Plans/Boathouse");
    await client.mailboxCreate("Short");
    await client.mailboxDelete("Short");
    const list = await client.list({ statusQuery: { messages: true, unseen: true, uidNext: true } });
    return list.map((box) => ({ path: box.path, use: box.specialUse ?? null, status: box.status }));
  },
  async messages() {
    for (let number = 1; number <= 6; number++) {
      await client.append("INBOX", mail(number), number === 1 ? ["\\Seen"] : [], new Date(86400000));
    }
    await client.mailboxCreate("Kept");
    const lock = await client.getMailboxLock("INBOX");
    try {
      await client.messageFlagsAdd("2:3", ["\\Flagged", "later"], { uid: true });
      const copied = await client.messageCopy("1:2", "Kept", { uid: true });
      const moved = await client.messageMove("3", "Kept", { uid: true });
      await client.messageDelete("4", { uid: true });
      const rows = [];
      const wanted = { uid: true, flags: true, envelope: true, bodyStructure: true, size: true,
        internalDate: true, threadId: true, emailId: true, source: true };
      for await (const row of client.fetch("1:*", wanted)) {
        rows.push({ uid: row.uid, flags: [...row.flags], subject: row.envelope.subject,
          type: row.bodyStructure.type, size: row.size, source: row.source.toString(),
          date: row.internalDate, emailId: row.emailId, modseq: Number(row.modseq) });
      }
      const found = await client.search({ or: [{ flagged: true }, { subject: "Berth 6" }] }, { uid: true });
      const { content } = await client.download("5", "1", { uid: true });
      let text = "";
      for await (const chunk of content) text += chunk.toString();
      return { copied: [...copied.uidMap], moved: [...moved.uidMap], rows, found, text };
    } finally {
      lock.release();
    }
  },
  async push() {
    const lock = await client.getMailboxLock("INBOX");
    const seen = [];
    // What is heard is said at once: the test does one thing after the other.
    const hear = (...told) => {
      seen.push(told);
      process.stderr.write(JSON.stringify(told) + "\n");
    };
    client.on("exists", (told) => hear("exists", told.count));
    client.on("flags", (told) => hear("flags", told.seq, [...told.flags]));
    client.on("expunge", (told) => hear("expunge", told.seq));
    process.stderr.write("waiting\n");
    while (!seen.some(([what]) => what === "expunge")) {
      await Promise.race([client.idle(), new Promise((done) => setTimeout(done, 200))]);
    }
    lock.release();
    return seen;
  },
};

try {
  await client.connect();
  const result = await scenarios[scenario]();
  await client.logout();
  const trouble = log.filter((entry) => entry.trouble);
  const enabled = [...client.capabilities.keys()];
  console.log(JSON.stringify({ result, trouble, enabled }));
  process.exit(trouble.length ? 1 : 0);
} catch (error) {
  console.log(JSON.stringify({ error: String(error), stack: error.stack, log: log.slice(-20) }));
  process.exit(1);
}
