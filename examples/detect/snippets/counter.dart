import 'dart:async';
import 'package:flutter/material.dart';

void main() => runApp(const CounterApp());

class CounterApp extends StatelessWidget {
  const CounterApp({super.key});

  @override
  Widget build(BuildContext context) {
    return MaterialApp(home: CounterPage(title: 'Counter'));
  }
}

class CounterPage extends StatefulWidget {
  final String title;
  const CounterPage({required this.title, super.key});

  @override
  State<CounterPage> createState() => _CounterPageState();
}

class _CounterPageState extends State<CounterPage> {
  int _count = 0;

  Future<void> _increment() async {
    await Future.delayed(const Duration(milliseconds: 10));
    setState(() => _count++);
  }

  @override
  Widget build(BuildContext context) => Scaffold(
        appBar: AppBar(title: Text(widget.title)),
        body: Center(child: Text('$_count')),
        floatingActionButton: FloatingActionButton(onPressed: _increment),
      );
}
