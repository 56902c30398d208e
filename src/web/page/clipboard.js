// Puts text on the clipboard, also where the page was not served over TLS and `navigator.clipboard` does not exist.

/**
 * Copies `text`. To be called while a click or a key press is being handled: browsers allow it only then.
 *
 * @param {string} text
 * @returns {Promise<boolean>} Whether it was copied.
 */
export async function copyText(text) {
    if (navigator.clipboard) {
        try {
            await navigator.clipboard.writeText(text);
            return true;
        } catch {
            // Refused by a permission or for want of focus: the older way may still be allowed.
        }
    }
    return copySelected(text);
}

/** Copies by selecting the text in a field that nobody sees; focus and selection are as before afterwards. */
function copySelected(text) {
    const focused = document.activeElement;
    const selection = document.getSelection();
    const ranges = Array.from({ length: selection.rangeCount }, (_, index) => selection.getRangeAt(index));
    const field = hiddenField(text);
    (focused?.closest('dialog') ?? document.body).append(field); // Outside of an open dialog nothing can be selected.
    field.select();
    let copied = false;
    try {
        copied = document.execCommand('copy');
    } catch {
        // Switched off by the browser: the answer is false.
    }
    field.remove();
    selection.removeAllRanges();
    ranges.forEach((range) => selection.addRange(range));
    focused?.focus({ preventScroll: true });
    return copied;
}

function hiddenField(text) {
    const field = document.createElement('textarea');
    field.value = text;
    field.readOnly = true; // Keeps the keyboard of a phone away.
    field.tabIndex = -1;
    field.setAttribute('aria-hidden', 'true');
    field.style.position = 'fixed';
    field.style.top = '0';
    field.style.opacity = '0';
    return field;
}
