---@meta
-- Regular expressions: mtev.pcre.

-- == Regular expressions ============================================================================================

---Compiles a Perl compatible regular expression (PCRE2, bytes; `(*UTF)` in front for characters). Does not yield.
---
---The matcher searches a string, and when called with the same one again, goes on behind the last match, in the whole
---string: anchors and look-behind see what is really there, empty matches advance. It starts anew for another string,
---and after `m(nil)`. Once it has said false it says so until then. What is nested too deeply for the compiled
---expression's stack is matched in up to 256 MB of memory. Options: `limit` (match steps, default 10,000,000) and
---`limit_recurse` (depth; without effect on patterns that PCRE2 compiles to machine code, as nearly all are);
---`offsets=true`: the first value is an array of start, end (exclusive), start, end ... in bytes from 0 for the whole
---and each capture, -1 for those that took no part; the values follow it; `unmatched`: what stands for these, default
---nil. `m(nil)` returns false.
---
---Difference: libmtev gives `""` for captures that took no part, and nine captures at most.
---@param expression string
---`matcher`: true, the match, the captures; false; false, `"match limit exceeded"`, `"heap limit exceeded"` or what
---is wrong with the subject. nil: it cannot be compiled
---@return (fun(subject: string?, options?: table): boolean|integer[], string?, ...: string?)? matcher
---@return string message
---@return integer offset in bytes
function mtev.pcre(expression) end
