/**
 * What a terminal obeys or a reader does not see: control characters, and the marks, line separators and fillers that
 * turn text around or hide in it (Unicode, "General_Category" Cc, Cf, Zl and Zp, and "Default_Ignorable_Code_Point").
 * Variation selectors stay, as emoji have them. Joiners, which Persian and emoji also have, do not: names that differ
 * only by them look alike.
 */
export const unprintable =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}[\p{Default_Ignorable_Code_Point}--\p{Variation_Selector}]]/gv;

/**
 * Text from another machine, safe for a terminal: a control character could move the cursor or forge a line, and a
 * direction mark make one file name look like another. Such a character becomes its `\uXXXX`, as in JSON.
 */
export function printable(text: string): string {
  return text.replaceAll(unprintable, escaped);
}

/**
 * One line of JSON, safe for a terminal, with the same value: in JSON these characters occur within strings only, where
 * their escape means the same. `JSON.stringify` itself escapes C0 alone.
 */
export function printableJson(json: string): string {
  return json.replaceAll(unprintable, escaped);
}

/** A character beyond U+FFFF is two units, and two escapes. */
function escaped(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
