//! What is served over HTTP: settings for mail programs, policies, challenges of ACME.
