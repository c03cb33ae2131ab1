---@meta
-- Regular expressions: mtev.pcre.

-- == Regular expressions ============================================================================================

---Compiles a Perl compatible regular expression (PCRE2, bytes; `(*UTF)` in front for characters). Does not yield.
---
---The matcher searches a string. Called again with the same string it continues after the last match, in the whole
---string: anchors and look-behind see what is really there, and empty matches advance. It starts over for another
---string, and after `m(nil)`; until then, once it has returned false it always does. Matches nested too deeply for
---the compiled expression's stack use up to 256 MB of memory. Options: `limit` (match steps, default 10,000,000) and
---`limit_recurse` (depth; no effect on patterns that PCRE2 compiles to machine code, which it does for nearly all);
---`offsets=true`: the first value is an array of start, end (exclusive), start, end ... in bytes from 0 for the whole
---match and each capture, -1 for unmatched captures; the values follow it; `unmatched`: the value of unmatched
---captures, default nil. `m(nil)` returns false.
---
---Difference: libmtev returns `""` for unmatched captures, and nine captures at most.
---@param expression string
---`matcher`: true, the match, the captures; false; false, `"match limit exceeded"`, `"heap limit exceeded"` or what
---is wrong with the subject. nil if the expression cannot be compiled
---@return (fun(subject: string?, options?: table): boolean|integer[], string?, ...: string?)? matcher
---@return string message
---@return integer offset in bytes
function mtev.pcre(expression) end
