// What the blocks of a text look like: turns them into descriptions for `patch`.
//
// Each block of the text says `dir="auto"` and what stands in it follows, so that the markers of a list, the bar of a
// quote and the columns of a table are all on one side. Code is always left to right.

import { spans, visibleCode } from './markdown-spans.js';

/** How many elements the words of a text may make; a paragraph beyond that is shown as it was written. */
export const SPANS_MAX = 5000;

/**
 * Describes a block.
 *
 * @param {Object} block One of `blocksFrom`.
 * @param {Object} context `say` gives the words of the interface, `left` is how many elements words may still make and
 *     is counted down, `known` has texts that were read before, `read` gathers those read now.
 * @returns {Object}
 */
export function shapeOf(block, context) {
    const shape = SHAPES[block.kind](block, context);
    return block.kind === 'code' || block.kind === 'rule'
        ? shape
        : { ...shape, attributes: { ...shape.attributes, dir: 'auto' } };
}

const SHAPES = {
    paragraph: (block, context) => withWords('p', {}, block.source, context),
    heading: headingShape,
    rule: () => shape('hr'),
    plain: (block) => shape('p', { class: 'plain' }, [block.source]),
    quote: (block, context) => shape('blockquote', {}, inner(block.blocks, context)),
    list: listShape,
    code: codeShape,
    table: tableShape,
};

function shape(name, attributes = {}, children = []) {
    return { name, attributes, children };
}

function inner(blocks, context) {
    return blocks.map((block) => SHAPES[block.kind](block, context));
}

/** An element with a text, and blocks after it. Words that would make too many elements are shown as written. */
function withWords(name, attributes, source, context, blocks = []) {
    const words = context.known.get(source) ?? context.read.get(source) ?? spans(source);
    context.read.set(source, words);
    if (words.count > context.left) {
        return shape(name, { ...attributes, class: 'plain' }, [source, ...inner(blocks, context)]);
    }
    context.left -= words.count;
    const children = blocks.length === 0 ? words.children : [...words.children, ...inner(blocks, context)];
    return shape(name, attributes, children);
}

function headingShape(block, context) {
    const words = withWords('strong', {}, block.source, context);
    return shape('p', { class: 'heading', 'data-level': block.level }, [words]);
}

function listShape(block, context) {
    const first = block.items[0].number;
    let expected = first;
    let written = first;
    const items = block.items.map((item) => {
        // Lists that count down or leave numbers out mean it; lists that say `1.` on each line do not.
        const isRepeated = item.number === first && written === first;
        const isCounted = item.number === expected || isRepeated;
        const attributes = isCounted ? {} : { value: item.number };
        expected = (isCounted ? expected : item.number) + 1;
        written = item.number;
        return withWords('li', attributes, item.source, context, item.blocks);
    });
    const isFromOne = !block.isNumbered || first === 1;
    return shape(block.isNumbered ? 'ol' : 'ul', isFromOne ? {} : { start: first }, items);
}

function codeShape(block, { say }) {
    const { code, language } = block;
    const label = [say('code'), language].filter(Boolean).join(' ');
    const shown = code === '' ? [] : [visibleCode(code)];
    return shape('div', { class: 'code-block' }, [
        ...(language === '' ? [] : [shape('span', { class: 'code-language' }, [language])]),
        { ...shape('button', { class: 'copy-code', type: 'button' }, [say('copy')]), held: code },
        shape('pre', { dir: 'ltr', tabindex: 0, role: 'group', 'aria-label': label }, [shape('code', {}, shown)]),
    ]);
}

function tableShape(block, context) {
    const { alignments, head, rows } = block;
    const cell = (name, attributes) => (source, column) =>
        withWords(name, { ...attributes, align: alignments[column] }, source, context);
    const parts = [shape('thead', {}, [shape('tr', {}, head.map(cell('th', { scope: 'col' })))])];
    if (rows.length > 0) {
        parts.push(
            shape(
                'tbody',
                {},
                rows.map((row) => shape('tr', {}, row.map(cell('td', {})))),
            ),
        );
    }
    const frame = { class: 'table-scroll', tabindex: 0, role: 'group', 'aria-label': context.say('table') };
    return shape('div', frame, [shape('table', {}, parts)]);
}
