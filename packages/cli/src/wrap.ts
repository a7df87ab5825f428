/** Wraps words to lines of at most `width` characters including the indent; a longer word gets its own line. */
export function wrapWords(text: string, indent: string, width: number): string[] {
  return fill(text.split(' '), width - indent.length).map((line) => `${indent}${line}`);
}

/** Wraps a shell command line with backslash continuations, never inside quotes. */
export function wrapExample(line: string, indent: string, width: number): string[] {
  const words = line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  const continuation = ' \\';
  // Keeps a flag with its value, and an operator with the word after it.
  const pieces: string[] = [];
  for (const word of words) {
    const last = pieces.at(-1);
    const joins = last !== undefined && /^(--?\S+|[|>])$/.test(last) && !/^[-|>]/.test(word);
    if (joins) pieces[pieces.length - 1] = `${last} ${word}`;
    else pieces.push(word);
  }
  const room = width - indent.length - continuation.length;
  const [first = '', ...rest] = fill(pieces, room, TEXT_INDENT);
  return [first, ...rest].map(
    (text, index, all) =>
      `${indent}${index === 0 ? '' : TEXT_INDENT}${text}${index < all.length - 1 ? continuation : ''}`,
  );
}

const TEXT_INDENT = '    ';

/** @param hanging Indent of all lines except the first; reduces their width. */
function fill(words: readonly string[], width: number, hanging = ''): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    const room = lines.length > 1 ? width - hanging.length : width;
    if (last !== undefined && last.length + 1 + word.length <= room)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
