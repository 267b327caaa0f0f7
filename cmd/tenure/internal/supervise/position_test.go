package supervise

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// String shows absent and empty apart.
func (p position) String() string {
	var shown []string
	if p.sequenceNumber != nil {
		shown = append(shown, fmt.Sprintf("#%d", *p.sequenceNumber))
	}
	if p.offset != nil {
		shown = append(shown, fmt.Sprintf("@%s", *p.offset))
	}
	return strings.Join(shown, " ")
}

func TestPositions(t *testing.T) {
	for line, want := range map[string]string{
		`{"sequence_number":7,"offset":"1234"}`:                 "#7 @1234",
		` { "offset" : "a b" , "sequence_number" : 0 } ` + "\r": "#0 @a b",
		`{"sequence_number":-1}`:                                "#-1",
		`{"offset":""}`:                                         "@",
		`{"offset":"007"}`:                                      "@007",
		`{"offset":1234}`:                                       "@1234",
		`{"offset":9007199254740991}`:                           "@9007199254740991",
		`{"offset":null,"sequence_number":1}`:                   "#1",
		`{"sequence_number":"9223372036854775807"}`:             "#9223372036854775807",
		`{"offset":"\ud83d\ude00\n"}`:                           "@😀\n",
		`{"\u006fffset":"x"}`:                                   "@x",
	} {
		p, err := parsePosition([]byte(line))
		require.NoError(t, err, line)
		require.Equal(t, want, p.String(), line)
	}
	for line, want := range map[string]string{
		``:                                     "not a JSON object",
		`7`:                                    "not a JSON object",
		`checkpoint 7`:                         "not a JSON object",
		`[]`:                                   "not a JSON object",
		`{"sequence_number":7`:                 "not valid JSON",
		`{"sequence_number"}`:                  "not valid JSON",
		`{"offset":"1}`:                        "not valid JSON",
		`{}`:                                   "neither sequence_number nor offset",
		`{"offset":null}`:                      "neither sequence_number nor offset",
		`{"offset":"1"} {}`:                    "something follows",
		`{"offset":"1","offset":"2"}`:          `"offset": given twice`,
		`{"Offset":"1"}`:                       `"Offset": there is no such field`,
		`{"offset":"1","seq":2}`:               `"seq": there is no such field`,
		`{"offset":{"a":1}}`:                   `"offset": neither a number nor a string`,
		`{"offset":true}`:                      `"offset": neither a string nor an integer`,
		`{"offset":1.5}`:                       `"offset": not an integer`,
		`{"offset":-0}`:                        `"offset": not an integer`,
		`{"offset":9007199254740992}`:          `"offset": an integer beyond 2^53-1`,
		`{"offset":"\ud83d"}`:                  `"offset": half of a surrogate pair`,
		"{\"offset\":\"\xff\"}":                "not valid UTF-8",
		`{"sequence_number":1e3}`:              `"sequence_number": not an integer`,
		`{"sequence_number":"07"}`:             `"sequence_number": not a decimal integer`,
		`{"sequence_number":""}`:               `"sequence_number": not a decimal integer`,
		`{"sequence_number":9007199254740992}`: `"sequence_number": an integer beyond 2^53-1`,
		`{"sequence_number":9223372036854775808}`: `"sequence_number": not an integer of 64 bits`,
	} {
		_, err := parsePosition([]byte(line))
		require.ErrorContains(t, err, want, line)
		require.NotContains(t, err.Error(), "\n")
	}
}

// Whatever is read as a position is one, and reads the same when it is written by the rules.
func FuzzPosition(f *testing.F) {
	for _, seed := range []string{
		`{"sequence_number":7,"offset":"1234"}`, `{"offset":1}`, `{"offset":"\u0000\ud83d\ude00"}`, `{"offset":null}`,
		`{"sequence_number":"-9223372036854775808"}`, `{"offset":"1"}}`, `{"":""}`, "{\"offset\":\"\xff\"}", `{"a":[{}]}`,
		"{\"offset\":\"1\"}\r", `{"offset":"1","sequence_number":2,}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		p, err := parsePosition(line)
		if err != nil {
			require.NotContains(t, err.Error(), "\n", "an answer is one line")
			return
		}
		require.True(t, p.sequenceNumber != nil || p.offset != nil)
		require.True(t, json.Valid(line))
		fields := make(map[string]any)
		if p.sequenceNumber != nil {
			fields["sequence_number"] = strconv.FormatInt(*p.sequenceNumber, 10)
			if n := *p.sequenceNumber; math.Abs(float64(n)) < maxSafeInteger {
				fields["sequence_number"] = n
			}
		}
		if p.offset != nil {
			fields["offset"] = *p.offset
		}
		again, err := json.Marshal(fields)
		require.NoError(t, err)
		q, err := parsePosition(again)
		require.NoError(t, err, string(again))
		require.Equal(t, p, q)
	})
}
