// Shows the text of a message: a small, safe subset of Markdown, drawn so that a reply can grow sixty times a second.
//
// The subset: paragraphs whose line breaks are kept; **bold**, *italic*, __bold__, _italic_, ~~struck~~, `code`; fenced
// code; headings; bullet and numbered lists; quotes; rules; tables with pipes; links and bare addresses to http and
// https; backslash escapes. A picture is a link, never loaded. HTML is text. Whatever is not closed is text, but for a
// fence, which is code up to the end: so a reply that is still coming looks as it will look.
//
// Classes, for the style sheet:
//
//   heading        a `p` with a `strong`; `data-level` is 1 to 6
//   code-block     a `div` around the parts of fenced code: code-language (a `span`, if one is named), copy-code (a
//                  `button`), and `pre` > `code`; the `pre` can be focused and is to scroll sideways
//   table-scroll   a `div` around a table; it can be focused and is to scroll sideways
//   link-host      a `span` in a link whose words look like another host: the host that it leads to
//   plain          a text too big to be drawn in parts; it wants `white-space: pre-wrap`

import { copyText } from './clipboard.js';
import { BLOCKS_MAX, blocksFrom, settledStart } from './markdown-blocks.js';
import { SPANS_MAX, shapeOf } from './markdown-shapes.js';
import { heldBy, patch } from './patch.js';

const COPIED_MS = 2000;

/** What each container shows. */
const states = new WeakMap();

/**
 * Brings `container` to show `text`. Blocks that did not change keep their nodes; of a text that grew, or that goes on
 * in another way, only the end is read again. A container whose children were taken away is drawn anew.
 *
 * @param {Element} container Has no other children than those drawn here.
 * @param {string} text
 * @param {{say: function(string): string}} options `say` gives the words of the interface for the keys `copy`,
 *     `copied`, `code` and `table`; the last two name what can be scrolled, for a screen reader.
 */
export function draw(container, text, { say }) {
    const state = stateOf(container, say);
    const wanted = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
    if (wanted === state.text) {
        return;
    }
    const kept = settled(state.blocks, sharedStart(state.text, wanted));
    const grown = blocksAfter(kept, wanted, state);
    const before = state.blocks.slice(kept.length).map((block) => block.shape);
    patch(
        container,
        before,
        grown.map((block) => block.shape),
        kept.length,
    );
    state.blocks = [...kept, ...grown];
    state.text = wanted;
}

function stateOf(container, say) {
    let state = states.get(container);
    if (state === undefined) {
        state = { text: '', blocks: [], known: new Map(), say };
        states.set(container, state);
        container.addEventListener('click', (event) => copyFrom(event, state));
        container.replaceChildren();
    }
    if (container.childNodes.length !== state.blocks.length) {
        container.replaceChildren();
        Object.assign(state, { text: '', blocks: [] });
    }
    state.say = say;
    return state;
}

/** The blocks that are the same in every text that begins with `start`. */
function settled(blocks, start) {
    const end = settledStart(start);
    const open = blocks.findLastIndex((block) => block.start < end);
    return blocks.slice(0, Math.max(open, 0));
}

function sharedStart(before, after) {
    if (after.startsWith(before)) {
        return before;
    }
    let end = 0;
    while (end < before.length && before[end] === after[end]) {
        end += 1;
    }
    return before.slice(0, end);
}

/** Reads the text after the blocks that are kept, and describes what it finds. */
function blocksAfter(kept, text, state) {
    const from = kept.length === 0 ? 0 : state.blocks[kept.length].start;
    const size = kept.reduce((sum, block) => sum + block.size, 0);
    const count = kept.reduce((sum, block) => sum + block.count, 0);
    const context = { say: state.say, left: SPANS_MAX - count, known: state.known, read: new Map() };
    const found = blocksFrom(text, from, BLOCKS_MAX - size).map((block) => {
        const before = context.left;
        const shape = shapeOf(block.block, context);
        return { start: block.start, size: block.size, shape, count: before - context.left };
    });
    state.known = context.read;
    return found;
}

async function copyFrom(event, state) {
    const button = event.target.closest('.copy-code');
    const code = button === null ? undefined : heldBy(button);
    if (code !== undefined && (await copyText(code))) {
        button.textContent = state.say('copied');
        setTimeout(() => {
            button.textContent = state.say('copy');
        }, COPIED_MS);
    }
}
