package query

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// asked is a name that was asked for, as a template sees it.
type asked struct {
	full, prefix, suffix string
	// groups are what the template's regexp found, the whole match first.
	groups []string
}

// expand fills in the ${…} of a text. "$${" stands for "${" itself.
func (a *asked) expand(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			return out.String() + text, nil
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(plain + "${")
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("%q lacks the } of a ${", text)
		}
		value, err := a.value(strings.TrimSpace(name))
		if err != nil {
			return "", err
		}
		out.WriteString(before + value)
		text = after
	}
}

func (a *asked) value(name string) (string, error) {
	switch name {
	case "name.full":
		return a.full, nil
	case "name.prefix":
		return a.prefix, nil
	case "name.suffix":
		return a.suffix, nil
	case "agent.segment":
		return "", nil // segments are known to Consul Enterprise alone
	}
	inner, isMatch := strings.CutPrefix(name, "match(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !isMatch || !closed {
		return "", fmt.Errorf("${%s} is unknown: use name.full, name.prefix, name.suffix or match(N)", name)
	}
	n, err := strconv.Atoi(strings.TrimSpace(inner))
	if err != nil || n < 0 {
		return "", fmt.Errorf("${%s}: the number of a group is a whole number from 0 on", name)
	}
	if n >= len(a.groups) {
		return "", nil
	}
	return a.groups[n], nil
}

// expanded is a copy of s with all its texts filled in.
func (s ServiceQuery) expanded(a *asked) (ServiceQuery, error) {
	var err error
	fill := func(text *string) {
		filled, e := a.expand(*text)
		if e != nil && err == nil {
			err = e
		}
		*text = filled
	}
	fillAll := func(texts *[]string) {
		*texts = slices.Clone(*texts)
		for i := range *texts {
			fill(&(*texts)[i])
		}
	}
	fillMap := func(pairs *map[string]string) {
		*pairs = maps.Clone(*pairs)
		for key, value := range *pairs {
			fill(&value)
			(*pairs)[key] = value
		}
	}
	fill(&s.Service)
	fill(&s.Near)
	fillAll(&s.Tags)
	fillAll(&s.IgnoreCheckIDs)
	fillMap(&s.NodeMeta)
	fillMap(&s.ServiceMeta)
	fillAll(&s.Failover.Datacenters)
	s.Failover.Targets = slices.Clone(s.Failover.Targets)
	for i := range s.Failover.Targets {
		fill(&s.Failover.Targets[i].Datacenter)
	}
	return s, err
}

// maxRegexp is the longest regexp of a template, in bytes.
const maxRegexp = 4096

// compile checks a template and returns its regexp, nil if there is none.
func (q *PreparedQuery) compile() (*regexp.Regexp, error) {
	switch q.Template.Type {
	case NamePrefixMatch:
	case "":
		if q.Template.Regexp != "" || q.Template.RemoveEmptyTags {
			return nil, fmt.Errorf("Template has no Type: use %q", NamePrefixMatch)
		}
		return nil, nil
	default:
		return nil, fmt.Errorf("unknown Template.Type %q: use %q", q.Template.Type, NamePrefixMatch)
	}
	if _, err := q.Service.expanded(&asked{}); err != nil {
		return nil, fmt.Errorf("bad template: %w", err)
	}
	if q.Template.Regexp == "" {
		return nil, nil
	}
	if n := len(q.Template.Regexp); n > maxRegexp {
		return nil, fmt.Errorf("Template.Regexp has %d bytes, the limit is %d", n, maxRegexp)
	}
	pattern, err := regexp.Compile(q.Template.Regexp)
	if err != nil {
		return nil, fmt.Errorf("bad Template.Regexp: %w", err)
	}
	return pattern, nil
}

// filledIn is the query for a name.
func (r *row) filledIn(name string) (*PreparedQuery, error) {
	q := *r.Query
	if q.Template.Type == "" {
		return &q, nil
	}
	a := &asked{full: name, prefix: q.Name, suffix: name[min(len(q.Name), len(name)):]}
	if r.pattern != nil {
		a.groups = r.pattern.FindStringSubmatch(name)
	}
	var err error
	if q.Service, err = q.Service.expanded(a); err != nil {
		return nil, fmt.Errorf("fill in template %s: %w", q.ID, err)
	}
	if q.Template.RemoveEmptyTags {
		q.Service.Tags = slices.DeleteFunc(q.Service.Tags, func(tag string) bool { return tag == "" || tag == "!" })
	}
	return &q, nil
}
