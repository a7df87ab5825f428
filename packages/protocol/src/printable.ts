/**
 * Characters that control a terminal or are invisible: control characters, direction marks, line separators and fillers
 * (Unicode, "General_Category" Cc, Cf, Zl and Zp, and "Default_Ignorable_Code_Point"). Variation selectors are allowed,
 * because emoji use them. Joiners are not, although Persian and emoji use them: names that differ only in joiners look
 * alike.
 */
export const unprintable =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}[\p{Default_Ignorable_Code_Point}--\p{Variation_Selector}]]/gv;

/**
 * Makes text from another machine safe for a terminal: a control character could move the cursor or forge a line, and a
 * direction mark could make one file name look like another. Replaces such characters with `\uXXXX`, as in JSON.
 */
export function printable(text: string): string {
  return text.replaceAll(unprintable, escaped);
}

/**
 * Makes a line of JSON safe for a terminal without changing its value: these characters occur only within strings, where
 * the escape is equivalent. `JSON.stringify` itself escapes only C0.
 */
export function printableJson(json: string): string {
  return json.replaceAll(unprintable, escaped);
}

/** A character above U+FFFF has two units and gets two escapes. */
function escaped(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
