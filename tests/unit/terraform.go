// SPDX-License-Identifier: GPL-2.0-only

// terraform DIR [NAME=VALUE...] reads the module in DIR as Terraform does, as far as that goes without its providers: the
// syntax; that whatever an expression names is declared, and every variable is used; each expression worked out, with
// these values of variables and the defaults; templatefile with the names that the template wants, and no other. Says
// as JSON what came out, null where only the cloud knows it.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

var wrong = map[string]bool{}

func complain(format string, args ...interface{}) { wrong[fmt.Sprintf(format, args...)] = true }

func diagnose(diags hcl.Diagnostics) {
	for _, d := range diags {
		complain("%s", d.Error())
	}
}

// Ends it when something was wrong.
func report() {
	var all []string
	for text := range wrong {
		all = append(all, text)
	}
	if sort.Strings(all); len(all) > 0 {
		for _, text := range all {
			fmt.Fprintln(os.Stderr, text)
		}
		os.Exit(1)
	}
}

func unary(f func(string) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f(args[0].AsString()), nil },
	})
}

func templatefile(path string, vars map[string]cty.Value) cty.Value {
	text, err := os.ReadFile(path)
	if err != nil {
		complain("%v", err)
	}
	expr, diags := hclsyntax.ParseTemplate(text, path, hcl.InitialPos)
	diagnose(diags)
	unused := map[string]bool{}
	for name := range vars {
		unused[name] = true
	}
	for _, t := range expr.Variables() {
		delete(unused, t.RootName())
	}
	for name := range unused {
		complain("%s: %s is given, and not used", path, name)
	}
	out, diags := expr.Value(&hcl.EvalContext{Variables: vars})
	diagnose(diags)
	return out
}

// What a name stands for: "var.x", "local.x", "data.type.name", "type.name".
func name(t hcl.Traversal) string {
	parts := 2
	if t.RootName() == "data" {
		parts = 3
	}
	said := t.RootName()
	for _, step := range t[1:] {
		if attr, ok := step.(hcl.TraverseAttr); ok && parts > 1 {
			said += "." + attr.Name
			parts--
		}
	}
	if t.RootName() != "data" && len(t) > 1 {
		return t.RootName() + "." + t[1].(hcl.TraverseAttr).Name
	}
	return said
}

type module struct {
	declared, used map[string]bool
	ctx            *hcl.EvalContext
}

func (m *module) value(e hcl.Expression) cty.Value {
	v, diags := e.Value(m.ctx)
	diagnose(diags)
	return v
}

func (m *module) check(e hcl.Expression, iterator string) {
	for _, t := range e.Variables() {
		if root := t.RootName(); root == "path" || root == iterator {
			continue
		}
		if m.used[name(t)] = true; !m.declared[name(t)] {
			complain("%s: %s is not declared", t.SourceRange(), name(t))
		}
	}
}

func (m *module) body(b *hclsyntax.Body, iterator string) map[string]interface{} {
	out := map[string]interface{}{}
	for key, attr := range b.Attributes {
		if key == "type" && iterator == "variable" {
			continue
		}
		m.check(attr.Expr, iterator)
		out[key] = nil
		if iterator != "" {
			continue
		}
		if v := m.value(attr.Expr); v.IsWhollyKnown() {
			text, err := ctyjson.Marshal(v, v.Type())
			if err != nil {
				complain("%s: %v", key, err)
			}
			out[key] = json.RawMessage(text)
		}
	}
	for _, block := range b.Blocks {
		inner, key := iterator, block.Type
		if block.Type == "dynamic" {
			inner, key = block.Labels[0], block.Labels[0]
		}
		out[key] = m.body(block.Body, inner)
	}
	return out
}

func main() {
	dir, parser := os.Args[1], hclparse.NewParser()
	vars, locals := map[string]cty.Value{}, map[string]cty.Value{}
	m := module{declared: map[string]bool{}, used: map[string]bool{}}
	m.ctx = &hcl.EvalContext{Functions: map[string]function.Function{
		"jsonencode":   stdlib.JSONEncodeFunc,
		"base64encode": unary(func(s string) cty.Value { return cty.StringVal(base64.StdEncoding.EncodeToString([]byte(s))) }),
		"templatefile": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return templatefile(args[0].AsString(), args[1].AsValueMap()), nil
			},
		}),
	}}
	m.ctx.Variables = map[string]cty.Value{"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(dir)})}

	var blocks []*hclsyntax.Block
	files, _ := filepath.Glob(dir + "/*.tf")
	for _, path := range files {
		file, diags := parser.ParseHCLFile(path)
		if diagnose(diags); file != nil {
			blocks = append(blocks, file.Body.(*hclsyntax.Body).Blocks...)
		}
	}
	labels := map[string]int{"resource": 2, "data": 2, "variable": 1, "output": 1}
	for _, b := range blocks {
		if len(b.Labels) != labels[b.Type] {
			complain("%s: %s has %d names", b.DefRange(), b.Type, len(b.Labels))
		}
	}
	report()
	resources := map[string]map[string]cty.Value{}
	for _, b := range blocks {
		switch b.Type {
		case "variable":
			m.declared["var."+b.Labels[0]] = true
			vars[b.Labels[0]] = cty.DynamicVal
			if d, ok := b.Body.Attributes["default"]; ok {
				vars[b.Labels[0]] = m.value(d.Expr)
			}
		case "locals":
			for key := range b.Body.Attributes {
				m.declared["local."+key] = true
			}
		case "resource":
			m.declared[b.Labels[0]+"."+b.Labels[1]] = true
			if resources[b.Labels[0]] == nil {
				resources[b.Labels[0]] = map[string]cty.Value{}
			}
			resources[b.Labels[0]][b.Labels[1]] = cty.DynamicVal
		case "data":
			m.declared["data."+b.Labels[0]+"."+b.Labels[1]] = true
		}
	}
	for _, arg := range os.Args[2:] {
		for i := range arg {
			if arg[i] == '=' {
				expr, diags := hclsyntax.ParseExpression([]byte(arg[i+1:]), arg[:i], hcl.InitialPos)
				diagnose(diags)
				if vars[arg[:i]] = m.value(expr); !m.declared["var."+arg[:i]] {
					complain("%s: no such variable", arg[:i])
				}
				break
			}
		}
	}
	for kind, named := range resources {
		m.ctx.Variables[kind] = cty.ObjectVal(named)
	}
	m.ctx.Variables["var"] = cty.ObjectVal(vars)
	m.ctx.Variables["data"] = cty.ObjectVal(map[string]cty.Value{"aws_region": cty.ObjectVal(map[string]cty.Value{
		"here": cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal("eu-west-1")})})})
	out := map[string]interface{}{}
	for _, b := range blocks {
		if b.Type == "locals" {
			for key, attr := range b.Body.Attributes {
				m.check(attr.Expr, "")
				locals[key] = m.value(attr.Expr)
			}
		}
	}
	m.ctx.Variables["local"] = cty.ObjectVal(locals)
	for _, b := range blocks {
		switch b.Type {
		case "resource", "output":
			key := b.Labels[0]
			out[key] = m.body(b.Body, "")
		case "variable":
			m.body(b.Body, "variable")
		}
	}
	for what := range m.declared {
		if what[:4] == "var." && !m.used[what] {
			complain("%s is not used", what)
		}
	}
	report()
	text, _ := json.Marshal(out)
	fmt.Println(string(text))
}
