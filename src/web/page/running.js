// Replies that are being made, in all of the user's sessions: the text of each as far as it was told. The stream tells every
// piece once, so they are kept also for sessions that are not open now.

/**
 * @typedef {object} Running
 * @property {number} attempt a later one begins with an empty reply
 * @property {string} text
 * @property {number} chars its length in characters, as the server counts them
 * @property {boolean} [isStale] it was told by a stream that has ended
 */

/** All running replies. */
export class RunningReplies {
    /** @type {Map<string, Map<number, Running>>} */
    #sessions = new Map();

    /** Those of a session, by the sequence that they answer; the same map as long as the session has any. */
    of(session) {
        if (!this.#sessions.has(session)) this.#sessions.set(session, new Map());
        return this.#sessions.get(session);
    }

    /** Takes in an event of a session that is not open: of one that is, the conversation does. */
    event(name, { session_id: session, ...data }) {
        if (name === 'delta') grow(this.of(session), data);
        else if (name === 'message' && data.reply_to !== null) this.#end(session, data.reply_to);
        else if (name === 'done' || name === 'failed') this.#end(session, data.reply_to);
        else if (name === 'session' && data.change === 'deleted') this.#sessions.delete(session);
    }

    /** A new stream tells everything anew; what the open session shows stays until then. */
    restart(open) {
        for (const session of this.#sessions.keys()) {
            if (session !== open) this.#sessions.delete(session);
        }
    }

    #end(session, seq) {
        const running = this.#sessions.get(session);
        running?.delete(seq);
        if (running?.size === 0) this.#sessions.delete(session);
    }
}

/**
 * Puts a piece of text where it belongs.
 * @param {Map<number, Running>} running
 * @param {{reply_to: number, attempt: number, offset: number, text: string}} delta
 * @returns {'new' | 'grown' | null} null where it does not fit: something was missed, and the next stream tells it
 */
export function grow(running, { reply_to: seq, attempt, offset, text }) {
    const before = running.get(seq);
    const isNew = before === undefined || attempt > before.attempt;
    const reply = isNew || (before.isStale && offset === 0) ? { attempt, text: '', chars: 0 } : before;
    if (attempt < reply.attempt || offset > reply.chars) return null;
    const kept = offset === reply.chars ? reply.text : [...reply.text].slice(0, offset).join('');
    reply.text = kept + text;
    reply.chars = offset + [...text].length;
    running.set(seq, reply);
    return isNew ? 'new' : 'grown';
}
