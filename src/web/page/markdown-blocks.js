// Cuts a text into blocks: paragraphs, headings, lists, quotes, code, tables, rules.
//
// What a line begins depends on that line and the next one only. So all that lies before the last two lines of a
// growing text is final, which `settledStart` tells. Each level of nesting copies its lines once, and nesting is
// bounded, so the time is linear in the text. There is no indented code, no underlined heading and no continuation
// line without its mark: what people and models type in a chat is plainer than that.

/** How deep lists and quotes are nested; deeper marks are text. */
const DEPTH_MAX = 8;

const COLUMNS_MAX = 32;

const CELLS_MAX = 2000;

/** How many blocks, items, rows and cells a text may have; what comes after them is one block of plain text. */
export const BLOCKS_MAX = 5000;

/** Fenced code and the frame of a table are made of several elements, and count as much. */
const FRAME_SIZE = 4;

const MARKER = /^(?:[-*+]|(\d{1,9})[.)])(?=[ \t])/;

const HEADING = /^(#{1,6})[ \t]/;

const ALIGNMENTS = { '-': null, ':-': 'left', '-:': 'right', ':-:': 'center' };

/**
 * Cuts `text` into blocks, from the character `from` on, where a block must begin.
 *
 * @param {string} text With `\n` at the end of lines.
 * @param {number} from
 * @param {number} room How many blocks may be made.
 * @returns {Array<{start: number, size: number, block: Object}>} Where each begins, how much of the room it took.
 */
export function blocksFrom(text, from, room) {
    const lines = text.slice(from).split('\n');
    const found = [];
    const bounds = { depth: 0, room: { left: room } };
    let start = from;
    let passed = 0;
    eachBlock(lines, bounds, (block, first, size) => {
        for (; passed < first; passed += 1) {
            start += lines[passed].length + 1;
        }
        found.push({ start, size, block });
    });
    return found;
}

/**
 * Where the last two lines begin: a block that begins before stays where it is, whatever is added to the text.
 *
 * @param {string} text
 * @returns {number}
 */
export function settledStart(text) {
    const last = text.lastIndexOf('\n');
    return last <= 0 ? 0 : text.lastIndexOf('\n', last - 1) + 1;
}

function eachBlock(lines, bounds, found) {
    let at = 0;
    while (at < lines.length) {
        if (isBlank(lines[at])) {
            at += 1;
            continue;
        }
        const before = bounds.room.left;
        const { block, end } = before > 0 ? blockAt(lines, at, bounds) : plainFrom(lines, at);
        found(block, at, before - bounds.room.left);
        at = end;
    }
}

function blocksOf(lines, bounds) {
    const blocks = [];
    eachBlock(lines, { depth: bounds.depth + 1, room: bounds.room }, (block) => blocks.push(block));
    return blocks;
}

function blockAt(lines, at, bounds) {
    bounds.room.left -= 1;
    return (
        codeAt(lines, at, bounds) ??
        headingAt(lines, at) ??
        ruleAt(lines, at) ??
        quoteAt(lines, at, bounds) ??
        listAt(lines, at, bounds) ??
        tableAt(lines, at, bounds) ??
        paragraphAt(lines, at, bounds)
    );
}

/** Whether the line ends a paragraph that stands before it. Numbers do so only from 1: many sentences have one. */
function begins(lines, at, bounds) {
    const line = lines[at];
    const bare = line.trimStart();
    const mark = markerOf(line);
    const isNested = bare[0] === '>' || (mark !== null && (mark.number === null || mark.number === 1));
    return (
        fenceOf(line) !== null ||
        HEADING.test(bare) ||
        isRule(line) ||
        (isNested && bounds.depth < DEPTH_MAX) ||
        alignmentsAt(lines, at) !== null
    );
}

function plainFrom(lines, at) {
    return { block: { kind: 'plain', source: lines.slice(at).join('\n') }, end: lines.length };
}

function paragraphAt(lines, at, bounds) {
    let end = at + 1;
    while (end < lines.length && !isBlank(lines[end]) && !begins(lines, end, bounds)) {
        end += 1;
    }
    const source = lines
        .slice(at, end)
        .map((line) => line.trim())
        .join('\n');
    return { block: { kind: 'paragraph', source }, end };
}

function headingAt(lines, at) {
    const bare = lines[at].trimStart();
    const level = HEADING.exec(bare)?.[1].length;
    return level === undefined
        ? null
        : { block: { kind: 'heading', level, source: withoutClosing(bare.slice(level).trim()) }, end: at + 1 };
}

function withoutClosing(title) {
    let end = title.length;
    while (title[end - 1] === '#') {
        end -= 1;
    }
    const isClosing = end < title.length && (end === 0 || title[end - 1] === ' ');
    return isClosing ? title.slice(0, end).trim() : title;
}

function ruleAt(lines, at) {
    return isRule(lines[at]) ? { block: { kind: 'rule' }, end: at + 1 } : null;
}

function isRule(line) {
    const bare = line.trim();
    const mark = bare[0];
    if (mark !== '-' && mark !== '*' && mark !== '_') {
        return false;
    }
    let count = 0;
    for (const character of bare) {
        if (character === mark) {
            count += 1;
        } else if (character !== ' ' && character !== '\t') {
            return false;
        }
    }
    return count >= 3;
}

// Code: an unclosed fence reaches to the end of what it stands in.

function codeAt(lines, at, bounds) {
    const fence = fenceOf(lines[at]);
    if (fence === null) {
        return null;
    }
    bounds.room.left -= FRAME_SIZE;
    let close = at + 1;
    while (close < lines.length && !isClosing(lines[close], fence)) {
        close += 1;
    }
    const code = lines
        .slice(at + 1, close)
        .map((line) => dedented(line, fence.indent))
        .join('\n');
    return { block: { kind: 'code', language: fence.language, code }, end: Math.min(close + 1, lines.length) };
}

function fenceOf(line) {
    const bare = line.trim();
    const mark = bare[0];
    if ((mark !== '`' && mark !== '~') || bare[1] !== mark || bare[2] !== mark) {
        return null;
    }
    const length = fenceLength(bare, mark);
    const language = bare.slice(length).trim();
    return mark === '`' && language.includes('`') ? null : { mark, length, language, indent: indentOf(line) };
}

function isClosing(line, fence) {
    const bare = line.trim();
    return bare[0] === fence.mark && bare.length >= fence.length && fenceLength(bare, fence.mark) === bare.length;
}

function fenceLength(bare, mark) {
    let length = 0;
    while (bare[length] === mark) {
        length += 1;
    }
    return length;
}

// Quotes and lists hold blocks.

function quoteAt(lines, at, bounds) {
    let end = at;
    while (end < lines.length && lines[end].trimStart()[0] === '>') {
        end += 1;
    }
    if (end === at || bounds.depth >= DEPTH_MAX) {
        return null;
    }
    const quoted = lines.slice(at, end).map((line) => dedented(line.trimStart().slice(1), 1));
    return { block: { kind: 'quote', blocks: blocksOf(quoted, bounds) }, end };
}

function listAt(lines, at, bounds) {
    const first = markerOf(lines[at]);
    if (first === null || bounds.depth >= DEPTH_MAX) {
        return null;
    }
    const items = [];
    let end = at;
    let next = at;
    while (items.length === 0 || isNextItem(lines, next, first, bounds)) {
        const mark = markerOf(lines[next]);
        bounds.room.left -= 1;
        end = itemEnd(lines, next, mark);
        items.push(itemOf(lines.slice(next, end), mark, bounds));
        next = end;
        while (next < lines.length && isBlank(lines[next])) {
            next += 1;
        }
    }
    return { block: { kind: 'list', isNumbered: first.number !== null, items }, end };
}

function isNextItem(lines, at, first, bounds) {
    return at < lines.length && bounds.room.left > 0 && markerOf(lines[at])?.kind === first.kind && !isRule(lines[at]);
}

/** An item goes on as long as lines are indented; two columns are enough under a number too. */
function itemEnd(lines, at, mark) {
    let end = at + 1;
    for (let next = end; next < lines.length; next += 1) {
        if (isBlank(lines[next])) {
            continue;
        }
        if (indentOf(lines[next]) < Math.min(mark.content, mark.indent + 2)) {
            break;
        }
        end = next + 1;
    }
    return end;
}

function itemOf(lines, mark, bounds) {
    const inner = lines.map((line, index) => (index === 0 ? mark.rest : dedented(line, mark.content)));
    const blocks = blocksOf(inner, bounds);
    const source = blocks[0]?.kind === 'paragraph' ? blocks.shift().source : '';
    return { number: mark.number, source, blocks };
}

/** The marker of a list's item: its kind, where it and what follows it begin, and what follows it. */
function markerOf(line) {
    const bare = line.trimStart();
    const found = MARKER.exec(bare);
    if (found === null) {
        return null;
    }
    const rest = bare.slice(found[0].length);
    const gap = indentOf(rest);
    const indent = indentOf(line);
    return {
        kind: found[0].at(-1),
        number: found[1] === undefined ? null : Number(found[1]),
        indent,
        content: indent + found[0].length + (gap > 4 ? 1 : gap),
        rest: rest.trimStart(),
    };
}

// Tables.

function tableAt(lines, at, bounds) {
    const alignments = alignmentsAt(lines, at);
    if (alignments === null) {
        return null;
    }
    const columns = alignments.length;
    const rows = [];
    let end = at + 2;
    while (isRow(lines, end, bounds) && (rows.length + 2) * columns <= CELLS_MAX) {
        rows.push(rowOf(lines[end], columns));
        bounds.room.left -= columns + 1;
        end += 1;
    }
    bounds.room.left -= columns + FRAME_SIZE;
    return { block: { kind: 'table', alignments, head: cellsOf(lines[at]), rows }, end };
}

function isRow(lines, at, bounds) {
    return at < lines.length && bounds.room.left > 0 && lines[at].includes('|') && !begins(lines, at, bounds);
}

function alignmentsAt(lines, at) {
    const below = lines[at + 1];
    if (below === undefined || !lines[at].includes('|') || !below.includes('|') || !/^[\s|:-]+$/.test(below)) {
        return null;
    }
    const kinds = cellsOf(below).map((cell) => cell.replace(/-+/, '-'));
    const isTable =
        kinds.length <= COLUMNS_MAX &&
        kinds.every((kind) => kind in ALIGNMENTS) &&
        kinds.length === cellsOf(lines[at]).length;
    return isTable ? kinds.map((kind) => ALIGNMENTS[kind]) : null;
}

/** As many cells as the table has columns: what is too much stays in the last one, and nothing is lost. */
function rowOf(line, columns) {
    const cells = cellsOf(line);
    const kept = cells.slice(0, columns);
    if (cells.length > columns) {
        kept[columns - 1] = cells.slice(columns - 1).join(' | ');
    }
    return [...kept, ...Array(columns - kept.length).fill('')];
}

function cellsOf(line) {
    const row = line.trim();
    const cells = [];
    let cell = '';
    for (let at = row[0] === '|' ? 1 : 0; at < row.length; at += 1) {
        if (row[at] === '\\' && row[at + 1] === '|') {
            cell += '|';
            at += 1;
        } else if (row[at] === '|') {
            cells.push(cell.trim());
            cell = '';
        } else {
            cell += row[at];
        }
    }
    return cell === '' && cells.length > 0 ? cells : [...cells, cell.trim()];
}

// Lines.

function isBlank(line) {
    return line.trim() === '';
}

/** The columns of white space that a line begins with; a tab reaches to the next multiple of four. */
function indentOf(line) {
    let columns = 0;
    for (const character of line) {
        if (character === '\t') {
            columns += 4 - (columns % 4);
        } else if (character === ' ') {
            columns += 1;
        } else {
            break;
        }
    }
    return columns;
}

/** The line without its first columns of white space, as far as it has them. */
function dedented(line, columns) {
    let at = 0;
    let passed = 0;
    while (passed < columns && (line[at] === ' ' || line[at] === '\t')) {
        passed += line[at] === '\t' ? 4 - (passed % 4) : 1;
        at += 1;
    }
    return ' '.repeat(Math.max(passed - columns, 0)) + line.slice(at);
}
