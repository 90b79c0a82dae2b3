// The file itself: lines, comments, directives, words.
import { lines, type Case } from '../case.ts'

export const syntax: readonly Case[] = [
  { name: 'instructions in any case', dockerfile: lines('from scratch', 'Label a=1', 'lAbEl b=2') },
  { name: 'a keyword over two lines', dockerfile: lines('FROM scratch', 'LAB\\', 'EL a=1') },
  {
    name: 'comments and empty lines in a continuation',
    dockerfile: lines('FROM scratch', 'LABEL a=1 \\', '# a comment', '', '   # another', '  b=2'),
  },
  { name: 'two escapes at the end are no continuation', dockerfile: lines('FROM scratch', 'CMD echo a\\\\', 'LABEL a=1') },
  { name: 'an escape and spaces at the end', dockerfile: lines('FROM scratch', 'LABEL a=1 \\  ', '  b=2') },
  { name: 'an escape at the end of the file', dockerfile: 'FROM scratch\nLABEL a=1 \\' },
  { name: 'a trailing comment is an argument', dockerfile: lines('FROM scratch', 'CMD echo a # b') },
  { name: 'leading spaces', dockerfile: lines('  FROM scratch', '\tLABEL a=1', '   # comment') },
  { name: 'Windows line ends', dockerfile: 'FROM scratch\r\nLABEL a=1 \\\r\n  b=2\r\nCMD echo x\r\n' },
  { name: 'a byte order mark', dockerfile: '\uFEFFFROM scratch\nLABEL a=1\n' },
  { name: 'the escape directive', dockerfile: lines('# escape=`', 'FROM scratch', 'LABEL a=1 `', '  b=C:\\x c="`$x"') },
  { name: 'the escape directive too late', dockerfile: lines('# a comment', '# escape=`', 'FROM scratch', 'LABEL a=1 \\', '  b=2') },
  { name: 'the escape directive twice', dockerfile: lines('# escape=`', '# escape=`', 'FROM scratch'), fails: 'escape' },
  { name: 'another escape', dockerfile: lines('# escape=x', 'FROM scratch'), fails: 'escape' },
  { name: 'inner spaces of a continued line', dockerfile: lines('FROM scratch', 'CMD echo a \\', '     b') },
  { name: 'a file without FROM', dockerfile: lines('LABEL a=1'), fails: 'FROM' },
  { name: 'an empty file', dockerfile: '', fails: 'no instructions' },
  { name: 'only comments', dockerfile: lines('# nothing'), fails: '' },
  { name: 'an unknown instruction', dockerfile: lines('FROM scratch', 'COPPY a b'), fails: 'COPPY' },
  { name: 'an unknown flag', dockerfile: lines('FROM scratch', 'COPY --chwon=1 a b'), files: { a: 'a' }, fails: 'chwon' },
  { name: 'a flag twice', dockerfile: lines('FROM scratch', 'COPY --chown=1 --chown=2 a b'), files: { a: 'a' }, fails: 'chown' },
  { name: 'COPY with one word', dockerfile: lines('FROM scratch', 'COPY a'), files: { a: 'a' }, fails: 'COPY' },
  { name: 'FROM with two words', dockerfile: lines('FROM scratch as'), fails: 'FROM' },
  { name: 'RUN in exec form is not expanded', dockerfile: lines('FROM busybox', 'ENV x=1', 'RUN ["touch", "/$x"]') },
  { name: 'RUN in shell form keeps its quotes', dockerfile: lines('FROM busybox', "RUN printf '%s|' \"a  b\" 'c\"d' e\\ f > /out") },
  {
    name: 'RUN over lines with comments',
    dockerfile: lines('FROM busybox', 'RUN echo a > /out && \\', '  # why', '    echo b >> /out && \\', '', '    echo c >> /out'),
  },
  { name: 'RUN with an invalid array is shell', dockerfile: lines('FROM busybox', 'RUN [ "a" = "a" ] && echo yes > /out') },
  { name: 'RUN with single quotes in brackets', dockerfile: lines('FROM busybox', "RUN ['true'] || echo shell > /out") },
]
