// What a conversation and the outbox come to on the page: the places of the log from top to bottom. No DOM here.

import { dayOf } from './dates.js';

/** A quote is cut to so many characters. */
const QUOTE_MAX = 60;

/** A text of over so many characters, which only programs say, shows its beginning until somebody asks for all of it. */
const FOLDED_OVER = 16_384;

/**
 * The places of the log, in order: days, messages, replies that are being made, and what is on its way.
 * @param {import('./conversation.js').Conversation} conversation
 * @param {import('./outbox.js').Entry[]} entries the session's part of the outbox
 * @returns {({key: string, day: string} | import('./message.js').Item)[]}
 */
export function itemsOf(conversation, entries) {
    const items = [];
    let day = null;
    let above = null;
    const messages = [...conversation.messages.values()];
    const lastTurn = messages.findLast((message) => message.role === 'user' && message.status !== 'noted')?.seq;
    const isOpen = conversation.open !== undefined;
    for (const message of messages) {
        const today = dayOf(message.created_at);
        if (today !== day) items.push({ key: `day ${today}`, day: message.created_at });
        day = today;
        items.push(stored(conversation, message, above, message.reply_to === lastTurn && !isOpen));
        above = message.reply_to ?? message.seq;
    }
    for (const [seq, { text }] of conversation.atEnd ? conversation.running : []) {
        const quote = above === seq ? undefined : quoteOf(conversation, seq);
        items.push({ key: `reply ${seq}`, role: 'assistant', content: text, state: 'answering', quote, actions: [] });
    }
    return [...items, ...waiting(conversation, entries)];
}

function stored(conversation, message, above, mayRepeat) {
    const { seq, role, content, created_at: at, reply_to: of } = message;
    const standing = conversation.stateOf(message);
    // A reply that was stopped before its first word says nothing; everything else did before it was erased.
    const state = content === '' && standing !== 'stopped' ? 'erased' : standing;
    const isReply = of !== null;
    const isFolded = state === 'superseded' || (of === null && content.length > FOLDED_OVER);
    const actions = isFolded ? ['unfold', 'copy'] : state === 'erased' ? [] : ['copy'];
    if (['failed', 'stopped', 'interrupted'].includes(state) && !isReply) actions.push('retry');
    if (isReply && mayRepeat && !['superseded', 'erased'].includes(state)) actions.push('again');
    const detail = state === 'failed' ? conversation.details.get(seq) : undefined;
    const quote = isReply && above !== of ? quoteOf(conversation, of) : undefined;
    // A reply has the key of the one that was being made, so that its row stays where it is and nothing flickers.
    const isLatest = isReply && state !== 'superseded' && !conversation.running.has(of);
    const key = isLatest ? `reply ${of}` : `message ${seq}`;
    return { key, seq, of, role, content, state, at, detail, quote, actions };
}

/** The outbox. What is being sent may be stored already, and its event may overtake its acknowledgement. */
function waiting(conversation, entries) {
    const own = [...conversation.messages.values()].filter((message) => message.role === 'user');
    // They are sent one after the other: what is behind one that is not confirmed waits for it.
    const isStuck = entries.some(({ state }) => state === 'unconfirmed');
    return entries
        .filter((entry, place) => {
            const isFirst = entries.findIndex(({ state }) => state !== 'refused') === place;
            return !(
                isFirst &&
                own.some((message) => message.seq > (entry.after ?? Infinity) && message.content === entry.content)
            );
        })
        .map((entry) => ({
            key: `unsent ${entry.key}`,
            role: 'user',
            content: entry.content,
            state: isStuck && entry.state === 'sending' ? 'unconfirmed' : entry.state,
            detail: entry.detail,
            entry,
            actions: entry.state === 'refused' ? ['resend', 'edit', 'drop'] : [],
        }));
}

function quoteOf(conversation, seq) {
    const content = conversation.messages.get(seq)?.content;
    if (content === undefined) return undefined;
    const chars = [...content.trim().split('\n')[0]];
    return chars.length > QUOTE_MAX ? `${chars.slice(0, QUOTE_MAX).join('')}…` : chars.join('');
}
