//! Who a message is really from: SPF, DKIM, DMARC and ARC; and signatures of our own.
