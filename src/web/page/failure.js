// How a call can fail. Every refusal is a Problem with the server's own sentence; where there is no answer at all, or one that
// says nothing about what happened, it is Unreachable: what was asked may or may not have been done.

/** The server refused, and nothing happened. */
export class Problem extends Error {
    /**
     * @param {number} status
     * @param {{type?: string, detail?: string}} body as RFC 9457 has it
     * @param {number | null} retryAfter seconds
     */
    constructor(status, body, retryAfter) {
        super(body.detail ?? `HTTP ${status}`);
        this.status = status;
        this.kind = (body.type ?? '').split(':').pop();
        /** A sentence for the user; empty where something else than our server refused. */
        this.detail = body.detail ?? '';
        /** Nobody is signed in any more, or somebody else is. */
        this.isOfLogin = ['no-identity', 'invalid-token', 'other-login'].includes(this.kind);
        /** Seconds until it may be worth while to ask again; null where the server does not say. */
        this.retryAfter = retryAfter;
    }
}

/** No answer, or none that says whether anything was done: ask again, with the same key. */
export class Unreachable extends Error {}
